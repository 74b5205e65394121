-- Reserves room for sessions on nodes, and makes the nodes their owners.
-- KEYS: term
-- ARGV: term, then a JSON list per item:
--   [session, node, incarnation, epoch, bytes, headroom bytes, headroom share]
-- Answer: for each item "OK", "NOFIT" or "STALE"
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then
  local all = {}
  for i = 2, #ARGV do all[i - 1] = 'STALE' end
  return all
end
local answers = {}
for i = 2, #ARGV do
  local item = cjson.decode(ARGV[i])
  local session, node, incarnation = item[1], item[2], item[3]
  local epoch, bytes = item[4], item[5]
  local worker = 'afx:worker:' .. node
  local held = redis.call('HMGET', worker, 'incarnation', 'state', 'assigned', 'max_sessions',
                          'ram_free', 'ram_limit', 'reserved')
  local assignment = 'afx:session:' .. string.format('%d', session) .. ':assignment'
  local last = tonumber(redis.call('HGET', assignment, 'epoch') or '0')
  if held[1] ~= incarnation or held[2] ~= 'ready' or last >= epoch then
    answers[i - 1] = 'STALE'
  else
    local headroom = math.max(item[6], item[7] * tonumber(held[6] or '0'))
    local free = tonumber(held[5] or '0') - tonumber(held[7] or '0') - headroom
    if tonumber(held[3] or '0') >= tonumber(held[4] or '0') or free < bytes then
      answers[i - 1] = 'NOFIT'
    else
      local id = string.format('%d', session)
      redis.call('HSET', assignment, 'node', node, 'incarnation', incarnation,
                 'epoch', string.format('%.0f', epoch))
      local before = tonumber(redis.call('HGET', worker .. ':reserved', id) or '0')
      redis.call('HSET', worker .. ':reserved', id, string.format('%.0f', bytes))
      redis.call('HINCRBY', worker, 'reserved', string.format('%.0f', bytes - before))
      redis.call('HINCRBY', worker, 'assigned', 1)
      answers[i - 1] = 'OK'
    end
  end
end
return answers
