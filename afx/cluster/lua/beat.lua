-- One heartbeat: renews the node's lease and writes its metrics. The node calls it.
-- KEYS: worker hash, sorted set of loads, term, set of workers
-- ARGV: name, incarnation, load, number of settled sessions, their ids..., field, value, ...
--   A session is settled when the RSS of the metrics includes its memory.
-- Answer: {"OK", the leader's term, the desired state}; "" stands for none,
--   {"ENDED"} for an incarnation that is fenced, has left or was replaced, or
--   {"MISSING"} when Redis has lost the node
-- include: spoiled
-- include: room
require_type(KEYS[1], 'hash')
require_type(KEYS[2], 'zset')
require_type(KEYS[4], 'set')
local node = redis.call('HMGET', KEYS[1], 'incarnation', 'state')
if not node[1] then
  return {'MISSING'}
end
if node[1] ~= ARGV[2] or node[2] == 'fenced' or node[2] == 'left' then
  return {'ENDED'}
end
-- A script whose first write needs no memory may go on in a Redis that is out of memory:
-- else all nodes would lose their leases then. A heartbeat only replaces what is there.
-- (redis.io, "Scripting with Lua", eval scripts and out of memory.)
redis.call('PERSIST', KEYS[1])
local settled = tonumber(ARGV[4])
for i = 5, 4 + settled do
  drop_reservation(KEYS[1], ARGV[i])
end
add_to(KEYS[1], 'seq', 1)
-- A live node that the leader does not see would be replaced while it runs.
redis.call('SADD', KEYS[4], ARGV[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 5 + settled))
if node[2] == 'ready' then
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
else
  redis.call('ZREM', KEYS[2], ARGV[1])
end
-- A malformed term or state must not cost all nodes their leases.
local term = redis.pcall('GET', KEYS[3])
return {'OK', type(term) == 'string' and whole(term) and term or '0', node[2] or ''}
