-- Marks a tag as invalidated now.
-- KEYS: mark. ARGV: random, how long the mark lives in ms, the epoch of the node.
local now = now_ms()

redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. string.format('%.0f', now) .. ' ' .. ARGV[3], 'PX', ARGV[2])
return {now, 1}
