-- Notes that an incarnation has stopped all its sessions and ends. The node calls it.
-- KEYS: worker hash, sorted set of loads
-- ARGV: name, incarnation
-- Answer: "OK", or "GONE" for another incarnation
if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[2] then
  return 'GONE'
end
-- First the write that needs no memory: see beat.lua.
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'left')
return 'OK'
