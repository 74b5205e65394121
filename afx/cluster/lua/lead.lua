-- Begins a term of leadership, or renews the lease of the current one.
-- KEYS: leader, term
-- ARGV: holder, milliseconds to live, the term to renew (0 to begin a new one),
--   the highest term that SQL knows: a Redis that lost data must not fall below it
-- Answer: the term, or -1 when another coordinator leads
local holder = redis.call('GET', KEYS[1])
local term = tonumber(redis.call('GET', KEYS[2]) or '0')
if ARGV[3] ~= '0' then
  if holder ~= ARGV[1] or term ~= tonumber(ARGV[3]) then
    return -1
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return term
end
if holder and holder ~= ARGV[1] then
  return -1
end
term = math.max(term, tonumber(ARGV[4])) + 1
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], string.format('%.0f', term))
return term
