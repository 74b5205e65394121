-- Functions for keys and values that another writer has spoiled, included by the scripts that
-- read them. What they find is counted and shown in the quarantine (quarantine.py).

local function refuse(key, reason, text)
  redis.pcall('INCR', 'afx:reports:refused:count')
  redis.pcall('XADD', 'afx:reports:refused', 'MAXLEN', '~', 1000, '*',
              'entry', key, 'reason', reason, 'text', string.sub(text, 1, 2000))
end

-- Removes a key of another type: what was in it is lost already, and no script could go on.
local function require_type(key, expected)
  local found = redis.call('TYPE', key).ok
  if found ~= expected and found ~= 'none' then
    redis.call('DEL', key)
    refuse(key, 'its type is ' .. found .. ', not ' .. expected, '')
  end
end

-- The whole number in a text; nil for any other text, or one that a double does not hold.
local function whole(text)
  if not text or not string.find(text, '^%-?%d+$') then
    return nil
  end
  local value = tonumber(text)
  return math.abs(value) < 2 ^ 53 and value or nil
end

-- Adds to a hash's number, which becomes 0 first if it is none.
local function add_to(key, field, amount)
  local value = redis.call('HGET', key, field)
  if value and not whole(value) then
    refuse(key, 'malformed: ' .. field, value)
    redis.call('HSET', key, field, 0)
  end
  redis.call('HINCRBY', key, field, string.format('%.0f', amount))
end

-- The epoch in a session's assignment. One that is no number counts as 0, and so does one
-- that is 2^14 generations (2^46) above the newest that its reader knows: epochs rise by
-- steps, and nothing could be placed above it.
local function epoch_of(assignment, text, newest)
  local epoch = whole(text or '0')
  if not epoch or epoch < 0 or epoch > newest + 2 ^ 46 then
    refuse(assignment, 'its epoch is not one that was given out', text)
    return 0
  end
  return epoch
end
