-- Registers an incarnation of a node. The node calls it.
-- KEYS: worker hash, set of workers, set of the machine's workers, reservations
-- ARGV: name, incarnation, then field, value, ...
-- Answer: "OK", "TAKEN" while another incarnation of that name may be running, or
--   "ENDED" when this incarnation is fenced or has left: its sessions may run elsewhere
-- include: spoiled
require_type(KEYS[1], 'hash')
require_type(KEYS[2], 'set')
require_type(KEYS[3], 'set')
local node = redis.call('HMGET', KEYS[1], 'incarnation', 'state')
local ended = node[2] == 'fenced' or node[2] == 'left'
if node[1] == ARGV[2] then
  if ended then
    return 'ENDED'
  end
  -- The call came late or twice: the node is registered and may have sessions already.
  add_to(KEYS[1], 'seq', 1)
  return 'OK'
end
if node[1] and not ended then
  return 'TAKEN'
end
-- An incarnation that left has stopped everything; a fenced one may still be stopping.
local left = ''
if node[2] == 'left' then
  left = node[1]
end
redis.call('DEL', KEYS[1], KEYS[4])
redis.call('HSET', KEYS[1], 'incarnation', ARGV[2], 'state', 'ready', 'seq', 0,
           'reserved', 0, 'assigned', 0, 'ended', left, unpack(ARGV, 3))
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('SADD', KEYS[3], ARGV[1])
return 'OK'
