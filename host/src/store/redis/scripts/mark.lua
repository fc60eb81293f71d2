-- Marks a tag as invalidated a short while ago.
-- KEYS: mark, index. ARGV: random, lifetime of the mark in ms. Answers the highest score in the
-- index, or -1 when it is empty: what is indexed above it came after the mark.
local now = now_ms()

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
return {now, last[2] or '-1'}
