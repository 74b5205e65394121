-- Reads what a node needs of an RQ job's hash, in bounds.
-- KEYS: job hash
-- ARGV: most fields, most bytes of the data, most bytes of the signature
-- Answer: {"missing"}, {"not a hash"}, {"too many fields"}, {"too large"}, or
--   {"ok", data, signature, name of each field that is not empty...}
-- What is too large stays in Redis: it would cost the node its memory.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then
  return {'missing'}
elseif kind ~= 'hash' then
  return {'not a hash'}
end
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[1]) then
  return {'too many fields'}
end
if redis.call('HSTRLEN', KEYS[1], 'data') > tonumber(ARGV[2])
  or redis.call('HSTRLEN', KEYS[1], 'signature') > tonumber(ARGV[3]) then
  return {'too large'}
end
local answer = {'ok', redis.call('HGET', KEYS[1], 'data') or '',
  redis.call('HGET', KEYS[1], 'signature') or ''}
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  if redis.call('HSTRLEN', KEYS[1], name) > 0 then
    table.insert(answer, string.sub(name, 1, 64))
  end
end
return answer
