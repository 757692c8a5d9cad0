"""What the server takes at most. Each limit is refused with a 4xx or 503 that names it."""

BODY_BYTES = 8 * 2**20  # of a request: 1,024 small pictures as JSON numbers with a few decimals
FEEDBACK_BYTES = 2**20
HELD_BYTES = 64 * 2**20  # of all bodies in memory at a time; short ones are taken all the same
SHORT_BYTES = 64 * 2**10
ROWS = 1024  # in a request
DIMENSIONS = 8  # of a tensor
ECHO_BYTES = 16 * 2**10  # of meta.tags and meta.puid, which go back with the answer
ECHO_DEPTH = 16
IN_FLIGHT = 64  # requests that wait for a thread or have one
BODY_SECONDS = 30  # for a body to arrive
QUICK_SECONDS = 0.002  # a request that takes no longer is answered at once, by no other thread
IDLE_SECONDS = 75  # that a connection is kept: longer than the 60 of most proxies
LINGER_SECONDS = 2  # that a stopping server waits for kept connections, to tell them that it closes
GRACE_SECONDS = 10  # and for answers that are under way
