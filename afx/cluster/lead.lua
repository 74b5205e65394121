-- Takes or keeps the leadership.
-- KEYS: leader, term
-- ARGV: holder, milliseconds to live, 1 to only renew
-- Answer: the term, or -1 when another leads
local held = redis.call('GET', KEYS[1])
if held == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return tonumber(redis.call('GET', KEYS[2]))
end
if held or ARGV[3] == '1' then
  return -1
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return redis.call('INCR', KEYS[2])
