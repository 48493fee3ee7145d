    .section .rodata
    .global openapi_start, openapi_end
openapi_start:
    .incbin "bff/openapi.json"
openapi_end:
    .section .note.GNU-stack,"",%progbits
