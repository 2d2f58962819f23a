//! The scripts: what must happen as one thing on the server.

/// Commits changes of many runs, or nothing.
///
/// KEYS: the owner's generation, all runs, unfinished runs. ARGV: the prefix, the generation before, the generation after, the number
/// of changes, and for each: run, row before, row after, mark (`u`, `f`, `d` to forget, or nothing), life of the row in ms (`0`: for ever),
/// place of the first fact, number of facts, the facts, number of checkpoints (0 or 1), the checkpoint.
///
/// Answers `done`; `again` where this very commit was made before (its answer was lost); `lost` and the generation where commits before
/// it are missing; `stale` and runs with their rows where somebody else has changed them; `damaged` and a run whose facts are missing.
/// Everything is looked at before anything is written, and the first write is one that a full server refuses.
pub(super) const COMMIT: &str = r"
local prefix, before, after, count = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local generation = redis.call('GET', KEYS[1]) or ''
if generation == after then return {'again'} end
if generation ~= before then return {'lost', generation} end
local stale, at = {'stale'}, 5
for _ = 1, count do
  local run, facts = ARGV[at], tonumber(ARGV[at + 6])
  local row = redis.call('GET', prefix .. 'run:' .. run) or ''
  if row ~= ARGV[at + 1] then
    stale[#stale + 1] = run
    stale[#stale + 1] = row
  elseif facts > 0 and redis.call('LLEN', prefix .. 'facts:' .. run) ~= tonumber(ARGV[at + 5]) then
    return {'damaged', run}
  end
  at = at + 7 + facts
  at = at + 1 + tonumber(ARGV[at])
end
if #stale > 1 then return stale end
redis.call('SET', KEYS[1], after)
at = 5
for _ = 1, count do
  local run, mark, life, facts = ARGV[at], ARGV[at + 3], ARGV[at + 4], tonumber(ARGV[at + 6])
  if mark == 'd' then
    redis.call('DEL', prefix .. 'run:' .. run, prefix .. 'facts:' .. run, prefix .. 'checkpoint:' .. run)
    redis.call('ZREM', KEYS[2], run)
    redis.call('ZREM', KEYS[3], run)
  elseif life == '0' then
    redis.call('SET', prefix .. 'run:' .. run, ARGV[at + 2])
  else
    redis.call('SET', prefix .. 'run:' .. run, ARGV[at + 2], 'PX', life)
  end
  if mark == 'u' then
    redis.call('ZADD', KEYS[2], 0, run)
    redis.call('ZADD', KEYS[3], 0, run)
  elseif mark == 'f' then
    redis.call('ZADD', KEYS[2], 0, run)
    redis.call('ZREM', KEYS[3], run)
  end
  at = at + 7
  for place = at, at + facts - 1 do redis.call('RPUSH', prefix .. 'facts:' .. run, ARGV[place]) end
  at = at + facts
  if ARGV[at] == '1' then
    redis.call('SET', prefix .. 'checkpoint:' .. run, ARGV[at + 1])
    at = at + 1
  end
  at = at + 1
end
return {'done'}
";

/// Takes a generation over from an earlier process of the same owner. KEYS: the generation. ARGV: as it was read, as it shall be.
pub(super) const TAKE: &str = r"
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
";

/// Removes an object that was last put before a time. KEYS: times of objects, the object. ARGV: its digest, the time in ms.
pub(super) const REMOVE: &str = r"
local put = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not put or tonumber(put) >= tonumber(ARGV[2]) then return 0 end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[1], ARGV[1])
return 1
";
