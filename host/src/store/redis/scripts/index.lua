-- Writes a name into a tag's index.
-- KEYS: index, mark. ARGV: name, until when (server's ms). Answers the tag's mark, or nothing.
local now = now_ms()
local expires_at = tonumber(ARGV[2])

-- Every write raises the score, if only by a millisecond. So an invalidation that is under way sees
-- that the name was indexed again since the index was read, and leaves it there (forget.lua).
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if known then
  expires_at = math.max(expires_at, tonumber(known) + 1)
end

local until_ms = string.format('%.0f', expires_at)
redis.call('ZADD', KEYS[1], until_ms, ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 or now + left < expires_at then
  redis.call('PEXPIREAT', KEYS[1], until_ms)
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now))

-- A walk that is under way may have read an earlier member with the same name and score. Changing
-- the mark keeps that walk from forgetting any member (race Q); a member that stays costs the next
-- walk one removal.
local mark = redis.call('GET', KEYS[2])
if mark then
  redis.call('SETRANGE', KEYS[2], 0, '~')
end
return {now, mark}
