-- One heartbeat: renews the node's lease and writes its metrics. The node calls it.
-- KEYS: worker hash, sorted set of loads, term
-- ARGV: name, incarnation, load, number of settled sessions, their ids..., field, value, ...
--   A session is settled when the RSS of the metrics includes its memory.
-- Answer: {"OK", the leader's term, the desired state}; "" stands for none,
--   {"ENDED"} for an incarnation that is fenced, has left or was replaced, or
--   {"MISSING"} when Redis has lost the node
-- include: room
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
redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('HSET', KEYS[1], unpack(ARGV, 5 + settled))
if node[2] == 'ready' then
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
else
  redis.call('ZREM', KEYS[2], ARGV[1])
end
-- A malformed term or state must not cost all nodes their leases.
local term, state = redis.pcall('GET', KEYS[3]), node[2] or ''
if type(term) ~= 'string' or not term:match('^%d+$') then
  term = '0'
end
return {'OK', term, state:match('^%l+$') or ''}
