-- Takes or keeps the leadership.
-- KEYS: leader, term
-- ARGV: holder, milliseconds to live, term held (0 to take it anew),
--   the highest term that SQL knows: a Redis that lost data must not fall below
-- Answer: the term, or -1 when another leads
local held = redis.call('GET', KEYS[1])
local term = tonumber(redis.call('GET', KEYS[2]) or '0')
if ARGV[3] ~= '0' then
  if held ~= ARGV[1] or term ~= tonumber(ARGV[3]) then
    return -1
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return term
end
if held and held ~= ARGV[1] then
  return -1
end
term = math.max(term, tonumber(ARGV[4])) + 1
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], string.format('%.0f', term))
return term
