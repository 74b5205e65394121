-- Sets a node's count of sessions and its reservations to what SQL says.
-- Only then does place.lua give it any session in this leader's term.
-- KEYS: term, worker hash, reservations
-- ARGV: term, incarnation, then the ids of the sessions that the node has
-- Answer: "OK", "GONE" for another incarnation, or "FENCED" for an old term
-- include: prelude
-- include: spoiled
require_type(KEYS[2], 'hash')
require_type(KEYS[3], 'hash')
if redis.call('HGET', KEYS[2], 'incarnation') ~= ARGV[2] then
  return 'GONE'
end
local owned = {}
for i = 3, #ARGV do owned[ARGV[i]] = true end
local reservations = redis.call('HGETALL', KEYS[3])
local reserved = 0
for i = 1, #reservations, 2 do
  local bytes = whole(reservations[i + 1])
  if owned[reservations[i]] and bytes then
    reserved = reserved + bytes
  else
    redis.call('HDEL', KEYS[3], reservations[i])
  end
end
redis.call('HSET', KEYS[2], 'assigned', #ARGV - 2, 'reserved', string.format('%.0f', reserved),
           'reconciled_term', ARGV[1])
return 'OK'
