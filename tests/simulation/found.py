"""The seeds of schedules that notice that a rule is left out."""

FOUND = {
    "SQL loses commits, place.lua ignores owners, nobody asks for the inventory": 22,
    "place.lua gives away a session whose owner has not released it, before nodes answer": 100,
    "no node is asked for its inventory": 147,
    "a leader goes on when SQL has lost commits of its term": 0,
    "Redis accepts writes without a replica": 112,
    "a witness that cannot judge says that a node is dead": 1276,
    "the position in the reports outlives a flush": 3,
    "a report of a death is believed whoever sent it": 2,
    "STOP does not cancel a start": 39,
    "a session is reported as stopped before it has disconnected": 0,
    "a host does not end with its lease": 5,
    "a leader waits for less than a lease": 16,
    "an old term may write": 257,
    "epochs begin again with each term": 185,
    "a node without a record is dead": 30,
    "counts are not set to what SQL says": 274,
    "no cool-down": 5,
    "sockets outlive their process": 1,
    "a moved session starts before it has stopped": 0,
    "a host that is replaced counts as dead once its successor has joined": 0,
    "a host that was replaced begins again": 0,
    "a report that does not parse ends the coordinator": 0,
}
"""Rule → the seed of a schedule that notices that it is left out."""
