"""The server's limits. A request over a limit is refused with a 4xx or a 503 that says the limit."""

HEAD_BYTES = 64 * 2**10  # of a request: its first line and headers
BODY_BYTES = 8 * 2**20  # of a request: 1,024 small pictures as JSON numbers with a few decimals
FEEDBACK_BYTES = 2**20
FORM_FIELDS = 16
ROWS = 1024  # in a request
DIMENSIONS = 8  # of a tensor
ECHO_BYTES = 16 * 2**10  # of meta.tags and meta.puid, which go back with the answer
IN_FLIGHT = 32  # requests that are not quick, or longer than SHORT_BYTES
SHORT_BYTES = 64 * 2**10
QUICK_SECONDS = 0.002  # a request that takes the model no longer needs no other thread
THREADS = 2  # that run the model
ARRIVAL_SECONDS = 20  # for a request to arrive, whole
IDLE_SECONDS = 75  # that a connection is kept: longer than the 60 of most proxies
LINGER_SECONDS = 2  # that a stopping server waits for kept connections, to tell them that it closes
LATE_SECONDS = 1  # that it waits for those that came last
GRACE_SECONDS = 10  # that it then waits for answers under way
