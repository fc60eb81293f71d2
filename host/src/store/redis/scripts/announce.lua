-- Writes an intent, or moves one that is there to a later time.
-- KEYS: intents. ARGV: intent, how long it is held in ms, how long all are kept in ms.
local now = now_ms()

redis.call('ZADD', KEYS[1], 'GT', string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {now, 1}
