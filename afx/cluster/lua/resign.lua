-- Gives the leadership up, if it is still held.
-- KEYS: leader
-- ARGV: holder
-- Answer: 1 when it was held
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
