-- Begins a term of leadership, or renews the lease of the current one.
-- KEYS: leader, term
-- ARGV: holder, milliseconds to live, the term to renew (0 to begin a new one),
--   the highest term that SQL knows: a Redis that lost data must not fall below it
-- Answer: the term, or -1 when another coordinator leads
-- include: spoiled
require_type(KEYS[1], 'string')
require_type(KEYS[2], 'string')
local holder = redis.call('GET', KEYS[1])
local text = redis.call('GET', KEYS[2]) or '0'
local term = whole(text)
if ARGV[3] ~= '0' then
  if holder ~= ARGV[1] or term ~= tonumber(ARGV[3]) then
    return -1
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return term
end
if holder and holder ~= ARGV[1] then
  -- A leader's key always expires within seconds: one that does not would end the control
  -- plane for good.
  local left = redis.call('PTTL', KEYS[1])
  if left < 0 or left > 600000 then
    refuse(KEYS[1], 'it does not expire as a leader\'s does', holder)
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
  end
  return -1
end
-- Terms rise by steps. A jump is not adopted: no counter would be left above it.
local above = tonumber(ARGV[4])
if not term or term < 0 or term > above + 2 ^ 24 then
  refuse(KEYS[2], 'not a term that has begun', text)
  term = above
end
term = math.max(term, above) + 1
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], string.format('%.0f', term))
return term
