-- Functions for the room of a node, included by the scripts that change it.
-- A session takes one of the node's places ('assigned') and, until the node's RSS
-- includes its memory, a reservation in bytes ('reserved' is the sum of all).

local function reserved_bytes(worker, id)
  return redis.call('HGET', worker .. ':reserved', id)
end

-- Whether a node is registered under this incarnation, ready, and reconciled in this term.
local function accepts(worker, incarnation, term)
  local node = redis.call('HMGET', worker, 'incarnation', 'state', 'reconciled_term')
  return node[1] == incarnation and node[2] == 'ready' and node[3] == term
end

-- Whether a node has a place and this much RAM left. `share` of its RAM, and at least
-- `headroom` bytes, stay free; so does `premium_share` of it.
local function has_room(worker, bytes, headroom, share, premium_share)
  local node = redis.call('HMGET', worker, 'assigned', 'max_sessions', 'ram_free', 'ram_limit',
                          'reserved')
  local limit = tonumber(node[4] or '0')
  local free = tonumber(node[3] or '0') - tonumber(node[5] or '0')
               - math.max(headroom, share * limit) - premium_share * limit
  return tonumber(node[1] or '0') < tonumber(node[2] or '0') and free >= bytes
end

local function take_room(worker, id, bytes)
  redis.call('HSET', worker .. ':reserved', id, string.format('%.0f', bytes))
  redis.call('HINCRBY', worker, 'reserved', string.format('%.0f', bytes))
  redis.call('HINCRBY', worker, 'assigned', 1)
end

local function drop_reservation(worker, id)
  local bytes = reserved_bytes(worker, id)
  if not bytes then
    return false
  end
  redis.call('HDEL', worker .. ':reserved', id)
  redis.call('HINCRBY', worker, 'reserved', string.format('%.0f', -tonumber(bytes)))
  return true
end
