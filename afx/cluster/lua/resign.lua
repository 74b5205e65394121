-- Ends the leadership, so that a standby need not wait for the lease to expire.
-- KEYS: leader
-- ARGV: holder
-- Answer: 1 when this holder led, else 0
if redis.pcall('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
