"""The tests of a program that stands alone: the last line that it prints is "N passed, N failed, N skipped"."""

import unittest


def main():
    """Runs the tests of the program that was started; its exit status."""
    result = unittest.main(module="__main__", exit=False, verbosity=0).result
    bad = len({getattr(test, "test_case", test).id() for test, _ in result.failures + result.errors})
    left_out = len(result.skipped)
    print(f"{result.testsRun - bad - left_out} passed, {bad} failed, {left_out} skipped")
    return 1 if bad else 0
