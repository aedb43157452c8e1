"""The emergency call: a program of its own that works when everything else is broken."""
