/* Tells a finding: a line for people with the word that repairs it, or an object of the list with --json. */
#include "sagactl/ctl_audit.h"
#include "sagactl/ctl_pages.h"
#include "sagactl/ctl_text.h"

#include <stdio.h>
#include <string.h>

/* The word with its id: it can be run as it stands. */
static const char *
repair_text(const struct audit_finding *finding, struct arena *arena)
{
    const char *name = strrchr(finding->repair, ' ') + 1;

    if (strncmp(finding->repair, "sagactl ", sizeof "sagactl " - 1) != 0)
        return finding->repair;
    return arena_print(arena, "%.*s%s", (int)(name - finding->repair), finding->repair,
                       strcmp(name, "ORDER") == 0 ? finding->order_id : finding->id);
}

void
audit_tell(struct audit *audit, const struct audit_finding *finding)
{
    struct arena *arena = audit->ctl->arena;
    const char *repair = repair_text(finding, arena);

    audit->findings++;
    if (!audit->ctl->is_json) {
        printf("%s %s %s%s%s: %s\n    -> %s\n", finding->kind, ctl_clean_text(finding->id, arena),
               finding->code, finding->order_id[0] == '\0' ? "" : ", order ", finding->order_id,
               finding->what, repair);
        return;
    }
    json_open_object(&audit->json, NULL);
    json_put_text(&audit->json, "code", finding->code);
    json_put_text(&audit->json, "kind", finding->kind);
    json_put_text(&audit->json, "id", finding->id);
    json_put_text(&audit->json, "order_id", finding->order_id);
    json_put_text(&audit->json, "what", finding->what);
    json_put_text(&audit->json, "repair", repair);
    json_close_object(&audit->json);
    ctl_pages_flush(&audit->json);
}
