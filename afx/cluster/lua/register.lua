-- Registers a node's incarnation.
-- KEYS: worker hash, set of workers, set of the machine's workers, reservations
-- ARGV: name, incarnation, then field, value, ...
-- Answer: "OK", "TAKEN" while another incarnation of that name may live, or
--   "FENCED" when this one is over: what it had may be another's by now.
local held = redis.call('HMGET', KEYS[1], 'incarnation', 'state')
local over = held[2] == 'fenced' or held[2] == 'left'
if held[1] == ARGV[2] then
  if over then
    return 'FENCED'
  end
  -- A try that comes late or twice: it is registered, and may have been given sessions.
  redis.call('HINCRBY', KEYS[1], 'seq', 1)
  return 'OK'
end
if held[1] and not over then
  return 'TAKEN'
end
-- Who left had stopped everything; who was fenced may still be about to.
local ended = ''
if held[2] == 'left' then
  ended = held[1]
end
redis.call('DEL', KEYS[1], KEYS[4])
redis.call('HSET', KEYS[1], 'incarnation', ARGV[2], 'state', 'ready', 'seq', 0,
           'reserved', 0, 'assigned', 0, 'ended', ended, unpack(ARGV, 3))
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('SADD', KEYS[3], ARGV[1])
return 'OK'
