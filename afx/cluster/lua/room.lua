-- Functions for the room of a node, included by the scripts that change it, after spoiled.
-- A session takes one of the node's places ('assigned') and, until the node's RSS
-- includes its memory, a reservation in bytes ('reserved' is the sum of all).

local function reserved_bytes(worker, id)
  require_type(worker .. ':reserved', 'hash')
  return redis.call('HGET', worker .. ':reserved', id)
end

-- Whether a node is registered under this incarnation, ready, and reconciled in this term.
local function accepts(worker, incarnation, term)
  require_type(worker, 'hash')
  local node = redis.call('HMGET', worker, 'incarnation', 'state', 'reconciled_term')
  return node[1] == incarnation and node[2] == 'ready' and node[3] == term
end

-- Whether a node has a place and this much RAM left. `share` of its RAM, and at least
-- `headroom` bytes, stay free; so does `premium_share` of it. Host processes that share a
-- machine have an equal part of the headroom each.
local function has_room(worker, bytes, headroom, share, premium_share)
  local node = redis.call('HMGET', worker, 'assigned', 'max_sessions', 'ram_free', 'ram_limit',
                          'reserved', 'shares')
  for i = 1, 5 do
    node[i] = whole(node[i] or '0')
    if not node[i] then
      return false
    end
  end
  local shares = math.max(1, whole(node[6] or '1') or 1)
  local limit = node[4]
  local free = node[3] - node[5] - math.max(headroom / shares, share * limit) - premium_share * limit
  return node[1] < node[2] and free >= bytes
end

local function take_room(worker, id, bytes)
  redis.call('HSET', worker .. ':reserved', id, string.format('%.0f', bytes))
  add_to(worker, 'reserved', bytes)
  add_to(worker, 'assigned', 1)
end

local function drop_reservation(worker, id)
  local bytes = reserved_bytes(worker, id)
  if not bytes then
    return false
  end
  redis.call('HDEL', worker .. ':reserved', id)
  add_to(worker, 'reserved', -(whole(bytes) or 0))
  return true
end
