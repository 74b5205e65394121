-- Removes the record of a node that is dead or has left.
-- KEYS: term, worker hash, reservations, set of workers
-- ARGV: term, name
-- Answer: "OK", "LIVE" when a new incarnation is registered, or "FENCED" for an old term
-- include: prelude
-- include: spoiled
require_type(KEYS[2], 'hash')
require_type(KEYS[4], 'set')
local node = redis.call('HMGET', KEYS[2], 'state', 'boot_id')
if node[1] and node[1] ~= 'fenced' and node[1] ~= 'left' then
  return 'LIVE'
end
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('SREM', KEYS[4], ARGV[2])
if node[2] then
  require_type('afx:machine:' .. node[2], 'set')
  redis.call('SREM', 'afx:machine:' .. node[2], ARGV[2])
end
return 'OK'
