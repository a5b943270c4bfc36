//! The script that executes a unit: several commands and the lane's checkpoint in one atomic step.

use rdts_core::record::{Expect, Mark};
use rdts_core::translate::Target;
use rdts_resp::encode;

/// `ARGV`: the checkpoint's key; what its value must begin with (nothing: it must not be there); what it is when everything is executed;
/// the places of the commands (`Unit::append_places`), or nothing where the value has none or keeps it; then the commands: each
/// as the number of its arguments and how its reply is judged ([`class`]) in one number, then the arguments. A run of strings
/// ([`begin_run`]) has one number for all of their keys and values. A negative number in front says in which database; otherwise
/// that is the one of the connection.
///
/// The lines behind the first one of the value stay unless the new one has its own. When it ends early, the count in the value's first
/// word grows by what was executed, and the place, which follows that word, becomes that of the last command that was.
///
/// The answer is 1 if every reply was a plain success; otherwise how many commands are executed, what stopped it (or nothing), and
/// the numbers of those commands that met a key which they left alone. A number below zero is for the checkpoint: -1, it cannot be
/// accessed; -2, it holds something else, and nothing was executed.
const BODY: &str = "\
local key, pcall, unpack, type, ARGV = ARGV[1], redis.pcall, unpack, type, ARGV
local now = pcall('GET', key)
if type(now) == 'table' then return {-1, now.err} end
now = now or ''
local gate = ARGV[2]
if now:sub(1, #gate) ~= gate or (gate == '' and now ~= '') then return {-2, now} end
local i, last, done, db, odd = 5, #ARGV, 0, 0, nil
local function stops(r, class)
  if type(r) == 'table' then
    local err = r.err
    if err then
      local busy = err:find('BUSYKEY', 1, true) or err:find('Target key name is busy', 1, true)
      odd = odd or {0, ''}
      if class % 4 == 2 and busy then
        odd[#odd + 1] = done
      elseif class < 4 or not err:find('no such key', 1, true) then
        odd[2] = err
        return true
      end
    end
  elseif class ~= 0 and (not r or r == 0) then
    if class % 4 == 1 then odd = odd or {0, ''} odd[2] = 'BUSYKEY' return true end
    if class % 4 == 2 then odd = odd or {0, ''} odd[#odd + 1] = done end
  end
  done = done + 1
end
while i <= last do
  local n = ARGV[i] + 0
  if n < 0 then
    if db ~= -n then
      local r = pcall('SELECT', -n)
      if type(r) == 'table' and r.err then odd = odd or {0, ''} odd[2] = r.err break end
      db = -n
    end
    i = i + 1
    n = ARGV[i] + 0
  elseif db ~= 0 then
    db = 0
    redis.call('SELECT', 0)
  end
  local class = n % 8
  local stop = i + (n - n % 16) / 16
  if n % 16 < 8 then
    if stops(pcall(unpack(ARGV, i + 1, stop)), class) then break end
    i = stop + 1
  else
    i = i + 1
    if class == 0 then
      while i < stop and not stops(pcall('SET', ARGV[i], ARGV[i + 1]), 0) do i = i + 2 end
    else
      while i < stop and not stops(pcall('SET', ARGV[i], ARGV[i + 1], 'NX'), class) do i = i + 2 end
    end
    if i < stop then break end
  end
end
if db ~= 0 then redis.call('SELECT', 0) end
if i > last then
  local value = ARGV[3]
  if not value:find('\\n', 1, true) then
    local lines = now:find('\\n', 1, true)
    if lines then value = value .. now:sub(lines) end
  end
  redis.call('SET', key, value)
  if not odd then return 1 end
elseif done > 0 then
  local run, count, rest = now:match('^([^ ]-)(%d+) (.*)$')
  local places = ARGV[4]
  if places ~= '' then
    local place = places:sub(1, 4) .. places:sub(8 * done - 3, 8 * done + 4)
    rest = place:gsub('.', function(c) return string.format('%02x', c:byte()) end) .. rest:sub(25)
  end
  redis.call('SET', key, run .. string.format('%.0f', count + done) .. ' ' .. rest)
end
odd[1] = done
if #odd > 2 then redis.call('INCRBY', key .. ':kept', #odd - 2) end
return odd
";

/// The script for servers of this version.
///
/// From 5.0 on a script is replicated by what it did. Before, it is replicated as it is, which from 3.2 on it can decide otherwise:
/// what depends on time then happens once.
pub(super) fn text(target: Target) -> String {
    match target.version() {
        (3, 2.., _) | (4, ..) => format!("redis.replicate_commands()\n{BODY}"),
        _ => BODY.to_owned(),
    }
}

/// How the script judges a reply: the expectation, and 4 if the command's key may have expired.
fn class(mark: Mark) -> usize {
    let expect = match mark.expect {
        Expect::Created => 1,
        Expect::CreatedOrKept => 2,
        _ => 0,
    };
    expect + 4 * usize::from(mark.may_expire)
}

/// Appends a command of `count` arguments, `bulks` being these as bulk strings.
pub(super) fn append(body: &mut Vec<u8>, mark: Mark, count: usize, bulks: &[u8]) {
    append_db(body, mark);
    encode::bulk_uint(body, (count * 16 + class(mark)) as u64);
    body.extend_from_slice(bulks);
}

/// Appends what is in front of a run of keys and values, each of which is a `SET`, with `NX` if the reply is judged. That costs both
/// sides less than as many commands.
pub(super) fn begin_run(body: &mut Vec<u8>, mark: Mark) {
    append_db(body, mark);
    encode::bulk(body, &[b'0'; RUN_DIGITS]);
}

/// Writes down in front of a run, whose first key is at `start`, that it has `count` of them.
pub(super) fn end_run(body: &mut [u8], start: usize, mark: Mark, count: usize) {
    const DIGITS: &[u8; 10] = b"0123456789";
    let mut number = 2 * count * 16 + 8 + class(mark);
    // The digits and the end of their line are in front of it.
    for digit in body[..start - 2].iter_mut().rev().take(RUN_DIGITS) {
        *digit = DIGITS[number % 10];
        number /= 10;
    }
}

/// Digits for the length of a run, so that it can be written down when it is known. A unit has less.
const RUN_DIGITS: usize = 10;

fn append_db(body: &mut Vec<u8>, mark: Mark) {
    if mark.db > 0 {
        encode::bulk_int(body, -i64::from(mark.db));
    }
}
