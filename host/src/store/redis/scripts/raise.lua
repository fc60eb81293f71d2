-- Writes fields of a range: new floors, or notes of epochs and namings. A naming that is known under its old
-- floor stays known under the new one.
-- KEYS: range. ARGV: how long the range is kept in ms, a new version, and for each field: its name and
-- its content.
local now = now_ms()

for i = 3, #ARGV, 2 do
  local scope = ARGV[i]:match('^floor:(.*)$')
  local known = scope and redis.call('HGET', KEYS[1], 'known:' .. scope)
  if known and known == redis.call('HGET', KEYS[1], ARGV[i]) then
    redis.call('HSET', KEYS[1], 'known:' .. scope, ARGV[i + 1])
  end
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('HSET', KEYS[1], 'version', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {now, 1}
