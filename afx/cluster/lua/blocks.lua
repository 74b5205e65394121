-- Functions that write blocks of links (see links.py), included by the scripts that do.
-- Include spoiled.lua first.

-- Keeps the last entry of each offset; their order does not matter then.
local function compact(text, width, slot)
  local seen, kept = {}, {}
  for at = #text - width + 1, 1, -width do
    local offset = string.sub(text, at, at + slot - 1)
    if not seen[offset] then
      seen[offset] = true
      kept[#kept + 1] = string.sub(text, at, at + width - 1)
    end
  end
  return table.concat(kept)
end

-- APPEND would leave up to as much room again unused (SDS, greedy growth); SET leaves none.
local function append(key, slot, width, entries, seconds, in_front)
  local old = redis.pcall('GET', key)
  if type(old) == 'table' then
    require_type(key, 'string')
    old = ''
  end
  old = old or ''
  if #old % width ~= 0 then
    refuse(key, 'its length is not that of whole entries', '')
    old = string.sub(old, 1, #old - #old % width)
  end
  local text = in_front and entries .. old or old .. entries
  if #text > width * (slot == 1 and 256 or 4096) then
    text = compact(text, width, slot)
  end
  redis.call('SET', key, text, 'EX', seconds)
end

local function hash_get(key, field)
  local value = redis.pcall('HGET', key, field)
  if type(value) == 'table' then
    require_type(key, 'hash')
    return nil
  end
  return value
end

-- Entries of the way back: the origin's number is put behind each offset.
local function numbered(entries, slot, number)
  local parts, width = {}, slot + 4
  local middle = string.char(math.floor(number / 256), number % 256)
  for at = 1, #entries, width do
    parts[#parts + 1] = string.sub(entries, at, at + slot - 1)
    parts[#parts + 1] = middle
    parts[#parts + 1] = string.sub(entries, at + slot, at + width - 1)
  end
  return table.concat(parts)
end

-- Adds the entries of one block, which eight arguments from ARGV[i] on describe (commit.lua).
-- Those that are put in front yield to the ones that are there.
local function note_links(i, seconds, in_front)
  local key, slot, entries = ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local hash, field = ARGV[i + 4], ARGV[i + 5]
  if ARGV[i] == 'link' then
    append(key, slot, slot + 4, entries, seconds, in_front)
    local block, highest = tonumber(ARGV[i + 6]), tonumber(ARGV[i + 7])
    local first, last = string.match(hash_get(hash, field) or '', '^(%d+):(%d+)$')
    if not first then
      redis.call('SADD', 'afx:links', string.match(hash, '%d+$'))
    end
    if not in_front then
      redis.call('SADD', 'afx:links:changed', string.match(key, '^afx:links:(.*)$'))
    end
    first = math.min(tonumber(first) or block, block)
    last = math.max(tonumber(last) or highest, highest)
    redis.call('HSET', hash, field, string.format('%.0f:%.0f', first, last))
  else
    local number = whole(hash_get(hash, field))
    if not number or number < 0 or number > 65535 then
      -- Numbers are never given back: the next one is free.
      number = math.min(redis.call('HLEN', hash), 65535)
      redis.call('HSET', hash, field, number)
    end
    append(key, slot, slot + 6, numbered(entries, slot, number), seconds, in_front)
  end
  redis.call('EXPIRE', hash, seconds)
end
