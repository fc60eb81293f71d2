-- Takes intents that are due, and holds them for the host that carries them out.
-- KEYS: intents. ARGV: how long they are held in ms, how many at most. Answers the intents.
local now = now_ms()
local due = redis.call(
  'ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0, ARGV[2])

for _, intent in ipairs(due) do
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[1])), intent)
end
return {now, due}
