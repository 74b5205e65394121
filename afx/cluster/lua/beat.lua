-- One heartbeat: renews the node's lease and tells what it looks like.
-- KEYS: worker hash, sorted set of loads, reservations, term
-- ARGV: name, incarnation, load, number of settled sessions, their ids..., field, value, ...
-- Answer: {"OK", term, state}, {"FENCED"}, or {"MISSING"} when Redis has lost the node
local held = redis.call('HMGET', KEYS[1], 'incarnation', 'state')
if not held[1] then
  return {'MISSING'}
end
if held[1] ~= ARGV[2] or held[2] == 'fenced' or held[2] == 'left' then
  return {'FENCED'}
end
local settled = tonumber(ARGV[4])
local freed = 0
for i = 5, 4 + settled do
  local bytes = redis.call('HGET', KEYS[3], ARGV[i])
  if bytes then
    freed = freed + tonumber(bytes)
    redis.call('HDEL', KEYS[3], ARGV[i])
  end
end
if freed > 0 then
  redis.call('HINCRBY', KEYS[1], 'reserved', string.format('%d', -freed))
end
redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('HSET', KEYS[1], unpack(ARGV, 5 + settled))
if held[2] == 'ready' then
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
else
  redis.call('ZREM', KEYS[2], ARGV[1])
end
return {'OK', redis.call('GET', KEYS[4]) or '0', held[2]}
