"""What tests stand on.

A clock that obeys, contract suites every adapter passes, a proxy that injects faults. Product code imports none of
it.
"""
