//! What is done on the source, for each rule.

use rdts_core::translate::LossKind;

pub(super) type Since = Option<(u16, u16)>;

/// Commands that a source executes, on keys of their own.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) name: String,
    /// The first source that has them.
    pub(super) redis: Since,
    pub(super) valkey: Since,
    /// The first Redis that can be given the effect.
    pub(super) target: (u16, u16),
    /// What only some targets can hold, and which.
    pub(super) kind: Option<(LossKind, Since, Since)>,
    /// Only a part of the keys is lost, which a comparison does not see.
    pub(super) stays: bool,
    pub(super) commands: Vec<String>,
}

/// `name | Redis | Valkey | target | kind: command; command`; `~` is a space in a word, `@` begins a key.
const CASES: &str = "\
set-expiring | 2.8 | 8.0 | 2.8 | -: SET @ex 1 EX 90000; SET @px 1 PX 90000000; SETEX @setex 90000 v; PSETEX @psetex 90000000 v; SET @nx 1 NX EX 90000; SET @xx 0; SET @xx 1 XX
set-times | 6.2 | 8.0 | 2.8 | -: SET @exat 1 EXAT 99999999999; SET @pxat 1; SET @pxat 2 PXAT 99999999999000 XX GET; SET @get 1; SET @get 2 GET
set-keepttl | 6.0 | 8.0 | 2.8 | -: SET @same 12345 EX 90000; SET @same 54321 KEEPTTL; SET @longer 1 EX 90000; SET @longer 123456 KEEPTTL; SET @shorter 123456 EX 90000; SET @shorter 1 KEEPTTL; SET @plain 99; SET @plain 1 KEEPTTL; SET @none 1 KEEPTTL; SET @list 1; SET @list 2 KEEPTTL; RPUSH @typed a; EXPIRE @typed 90000; SET @typed 1 KEEPTTL
incrbyfloat | 6.0 | 8.0 | 2.8 | -: SET @f 10.5 EX 90000; INCRBYFLOAT @f -10; HSET @h f 1; HINCRBYFLOAT @h f 0.5
set-if | 8.4 | - | 2.8 | -: SET @eq 1; SET @eq 2 IFEQ 1; SET @ne 1; SET @ne 2 IFNE 7; SET @both 1; SET @both 2 IFEQ 1 EX 90000 GET
set-ifeq | 8.4 | 8.1 | 2.8 | -: SET @eq 1; SET @eq 2 IFEQ 1; SET @eq 3 IFEQ 7
getdel | 6.2 | 8.0 | 2.8 | -: SET @k 1; GETDEL @k; SET @ex 1; GETEX @ex EX 90000; SET @per 1 EX 90000; GETEX @per PERSIST
delex | 8.4 | - | 2.8 | -: SET @k 1; DELEX @k; SET @if 1; DELEX @if IFEQ 1; SET @not 1; DELEX @not IFEQ 2
delifeq | - | 9.0 | 2.8 | -: SET @if 1; DELIFEQ @if 1; SET @not 1; DELIFEQ @not 2
msetex | 8.4 | 9.1 | 2.8 | -: MSETEX 2 @a 1 @b 2; MSETEX 2 @c 1 @d 2 EX 90000; MSETEX 1 @e 1 NX PXAT 99999999999000; MSETEX 2 @c 33 @d 44 XX KEEPTTL
increx | 8.8 | - | 2.8 | -: SET @i 5; INCREX @i BYINT 5; INCREX @j BYINT 1 EX 90000
expire | 2.8 | 8.0 | 2.8 | -: SET @s 1; EXPIRE @s 90000; SET @p 1; PEXPIRE @p 90000000; SET @at 1; EXPIREAT @at 9999999999; SET @pat 1; PEXPIREAT @pat 9999999999000; SET @per 1 EX 9000; PERSIST @per; SET @gone 1; EXPIRE @gone -1
expire-if | 7.0 | 8.0 | 2.8 | -: SET @k 1; EXPIRE @k 90000 NX; EXPIRE @k 190000 GT; EXPIRE @k 100000 LT; EXPIRE @k 95000 XX; PEXPIREAT @k 9999999999000 GT; EXPIRE @k 5 GT
unlink | 3.9 | 8.0 | 2.8 | -: SET @a 1; SET @b 1; SET @c 1; UNLINK @a @b
copy | 6.2 | 8.0 | 2.8 | -: SET @s v EX 90000; COPY @s @s2; RPUSH @l a b c; COPY @l @l2; SET @l3 x; COPY @l @l3 REPLACE; HSET @h a 1 b 2; COPY @h @h2; ZADD @z 1.5 a inf b; COPY @z @z2; SADD @set 1 2 x; COPY @set @set2; COPY @s @other DB 3
lists | 2.8 | 8.0 | 2.8 | -: RPUSH @l a b c d; LPUSHX @l z; RPOPLPUSH @l @m; LINSERT @l BEFORE b x; LREM @l 1 x; LSET @l 0 first; LTRIM @l 0 2
pop-count | 6.2 | 8.0 | 2.8 | -: RPUSH @l a b c d e f g h; LPOP @l 2; RPOP @l 2; LPOP @l; RPUSH @all a b; LPOP @all 5; RPUSH @one a; RPOP @one 1; RPUSH @rall a b; RPOP @rall 7
lmpop | 7.0 | 8.0 | 2.8 | -: RPUSH @l a b c d e f; LMPOP 2 @no @l LEFT; LMPOP 1 @l RIGHT COUNT 2; ZADD @z 1 a 2 b 3 c 4 d; ZMPOP 1 @z MIN; ZMPOP 1 @z MAX COUNT 2
pushx | 3.9 | 8.0 | 2.8 | -: RPUSH @l m; LPUSHX @l a b c; RPUSHX @l x y z; LPUSHX @none a b
lmove | 6.2 | 8.0 | 2.8 | -: RPUSH @l a b c d e f; LMOVE @l @m LEFT LEFT; LMOVE @l @m LEFT RIGHT; LMOVE @l @m RIGHT LEFT; LMOVE @l @m RIGHT RIGHT; LMOVE @l @l LEFT RIGHT; RPUSH @one x; LMOVE @one @m LEFT RIGHT
lmovem | 8.10 | - | 2.8 | -: RPUSH @l a b c d e f g h i j k; LMOVEM @l @m LEFT LEFT; LMOVEM @l @m LEFT LEFT COUNT 2 BULK; LMOVEM @l @m LEFT LEFT COUNT 2 OBO; LMOVEM @l @m RIGHT RIGHT EXACTLY 2 BULK; LMOVEM @l @m RIGHT LEFT COUNT 99 BULK
zadd-if | 3.2 | 8.0 | 2.8 | -: ZADD @z 1 a 2 b; ZADD @z NX 9 a 3 c; ZADD @z XX 5 b 5 nothere; ZADD @z CH 7 a; ZADD @z INCR 2 a; ZADD @z XX CH 1 b; ZADD @z NX 4 d
zadd-gt | 6.2 | 8.0 | 2.8 | -: ZADD @z 1 a 2 b 3 c; ZADD @z GT 5 a 1 b 4 new; ZADD @z LT 1 a 9 b 2 c; ZADD @z GT 99 a; ZADD @z XX GT CH 100 a 100 nothere; ZADD @z GT INCR 5 a; ZADD @z GT inf b 1.5 a; ZADD @z LT -inf c 5 b
zpop | 5.0 | 8.0 | 2.8 | -: ZADD @z 1 a 2 b 3 c 4 d 5 e 6 f; ZPOPMIN @z; ZPOPMAX @z; ZPOPMIN @z 2; ZADD @all 1 a 2 b; ZPOPMAX @all 9; ZADD @some 1 a 2 b 3 c; ZPOPMAX @some 2
zstore | 2.8 | 8.0 | 2.8 | -: ZADD @a 1 a 2 b; ZADD @b 5 b 6 c; ZUNIONSTORE @u 2 @a @b WEIGHTS 2 3 AGGREGATE MAX; ZINTERSTORE @i 2 @a @b; ZREMRANGEBYSCORE @a 1 1
zrangestore | 6.2 | 8.0 | 2.8 | -: ZADD @z 1 a 2.5 b 3 c -inf d 1e300 e; ZRANGESTORE @rank @z 0 2; ZRANGESTORE @rev @z 0 2 REV; ZRANGESTORE @score @z (1 +inf BYSCORE LIMIT 0 2; ZRANGESTORE @revscore @z +inf (1 BYSCORE REV LIMIT 1 2; ZADD @same 0 a 0 b 0 c 0 d; ZRANGESTORE @lex @same [b (d BYLEX; ZRANGESTORE @revlex @same + - BYLEX REV LIMIT 0 2; ZADD @empty 1 x; ZRANGESTORE @empty @nothere 0 -1; ZRANGESTORE @z @z 0 1
zdiffstore | 6.2 | 8.0 | 2.8 | -: ZADD @z 1 a 2.5 b 3 c; ZADD @y 9 b; SADD @s c; ZDIFFSTORE @d 3 @z @y @s; ZDIFFSTORE @y 2 @z @y; ZDIFFSTORE @s 1 @s
zcount | 8.8 | - | 2.8 | -: ZADD @z 1 a 2 b; ZADD @y 5 b 6 c; SADD @s b; ZUNIONSTORE @u 2 @z @y AGGREGATE COUNT; ZINTERSTORE @i 3 @z @y @s WEIGHTS 2 3 4 AGGREGATE COUNT; ZUNIONSTORE @w 2 @z @y WEIGHTS 0.5 3 AGGREGATE COUNT
geo | 3.2 | 8.0 | 2.8 | -: GEOADD @g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
georadius | 3.2 | 8.0 | 3.2 | -: GEOADD @g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania; GEORADIUS @g 15 37 200 km STORE @s; GEORADIUSBYMEMBER @g Palermo 200 km STOREDIST @d
geosearch | 6.2 | 8.0 | 3.2 | -: GEOADD @g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania; GEOSEARCHSTORE @s @g FROMLONLAT 15 37 BYRADIUS 200 km ASC; GEOSEARCHSTORE @d @g FROMMEMBER Palermo BYRADIUS 200 km ASC COUNT 1 STOREDIST; GEOSEARCHSTORE @s2 @g BYRADIUS 100 km FROMLONLAT 15 37 DESC; GEOSEARCHSTORE @e @g FROMLONLAT 0 0 BYRADIUS 1 m
bitop | 8.2 | - | 3.2 | -: SETBIT @a 1 1; SETBIT @a 30 1; SETBIT @b 1 1; SETBIT @b 9 1; SETBIT @c 9 1; SETBIT @c 70 1; SETBIT @c 30 1; BITOP DIFF @diff @a @b @c; BITOP DIFF1 @diff1 @a @b @c; BITOP ANDOR @andor @a @b @c; BITOP ONE @one @a @b @c; BITOP ONE @a @a @b; BITOP DIFF @b @c @b; BITOP DIFF @none @nothere @nothere2
bitfield | 3.2 | 8.0 | 3.2 | -: BITFIELD @b SET u8 0 255 INCRBY i5 100 1; BITFIELD @b OVERFLOW SAT INCRBY u2 102 3
hashes | 2.8 | 8.0 | 2.8 | -: HSET @h f v; HMSET @h a 1 b 2; HINCRBY @h a 5; HDEL @h b; HSETNX @h c 3
hset-several | 4.0 | 8.0 | 2.8 | -: HSET @h a 1 b 2 c 3
hexpire | 7.4 | 9.0 | 2.8 | hash-field-expiry: HSET @h a 1 b 2 c 3 d 4; HEXPIRE @h 90000 FIELDS 1 a; HEXPIRE @h 90000 NX FIELDS 2 a b; HPEXPIREAT @h 9999999999000 GT FIELDS 1 a; HPERSIST @h FIELDS 1 b; HEXPIREAT @h 1 FIELDS 1 d
hsetex | 8.0 | 9.0 | 2.8 | hash-field-expiry: HSETEX @h EX 90000 FIELDS 2 a 1 b 2; HSETEX @h FXX EX 190000 FIELDS 1 a 2; HSETEX @h KEEPTTL FIELDS 1 a 3; HSETEX @h FIELDS 1 b 3; HSETEX @new FNX PXAT 9999999999000 FIELDS 1 a 1; HGETEX @h EX 95000 FIELDS 1 a; HSET @f n 1.5; HEXPIRE @f 90000 FIELDS 1 n; HINCRBYFLOAT @f n 2
hgetdel | 8.0 | 9.1 | 2.8 | -: HSET @h a 1 b 2 c 3; HGETDEL @h FIELDS 2 a b
restore | 3.0 | 8.0 | 2.8 | -: SET @s v; RESTORE @s2 0 DUMP:@s; RESTORE @ttl 90000000 DUMP:@s; RPUSH @l a b 3; RESTORE @l2 0 DUMP:@l; RESTORE @s2 0 DUMP:@l REPLACE; SADD @set x 1; RESTORE @set2 0 DUMP:@set; SADD @int 1 2 3; RESTORE @int2 0 DUMP:@int; ZADD @z 1 a 2.5 b; RESTORE @z2 0 DUMP:@z; HSET @h a 1; RESTORE @h2 0 DUMP:@h
restore-times | 5.0 | 8.0 | 2.8 | -: SET @s v; RESTORE @abs 9999999999000 DUMP:@s ABSTTL; RESTORE @idle 0 DUMP:@s IDLETIME 100; RESTORE @freq 90000000 DUMP:@s FREQ 7 REPLACE
flush | 3.9 | 8.0 | 2.8 | -: SET @k v
functions | 7.0 | 8.0 | 2.8 | functions*: FUNCTION LOAD REPLACE #!lua~name=lib\\nredis.register_function('f',function(k,a)~return~redis.call('SET',k[1],a[1])~end); FCALL f 1 @k v
scripts | 2.8 | 8.0 | 2.8 | -: EVAL return(redis.call('INCR',KEYS[1])) 1 @k; EVAL redis.call('INCR',KEYS[1])~return(redis.call('INCR',KEYS[2])) 2 @a @b
spop | 3.2 | 8.0 | 2.8 | -: SADD @s a b c d e; SPOP @s; SPOP @s 2; SADD @all a b; SPOP @all 9; SMOVE @s @t a
hll | 2.8 | 8.0 | 2.8 | -: PFADD @a 1 2 3; PFADD @b 4; PFMERGE @c @a @b
rename | 2.8 | 8.0 | 2.8 | -: SET @a 1 EX 90000; RENAME @a @b; SET @c 1; RENAMENX @c @d; SET @e 1; SET @f 2; RENAME @e @f
streams | 5.0 | 8.0 | 2.8 | streams: XADD @x 1-1 f v; XADD @x 1-2 f v g w; XADD @x MAXLEN 2 1-3 f v; XDEL @x 1-2; XTRIM @x MAXLEN 1; XSETID @x 9-9; EXPIRE @x 90000; XADD @y 1-1 a b; RENAME @y @z
stream-groups | 5.0 | 8.0 | 2.8 | streams: XADD @x 1-1 f v; XADD @x 1-2 f v; XADD @x 1-3 f v; XGROUP CREATE @x g 0; XGROUP CREATE @new g $ MKSTREAM; XREADGROUP GROUP g c COUNT 2 STREAMS @x >; XACK @x g 1-1; XCLAIM @x g d 0 1-2; XGROUP SETID @x g 1-3; XGROUP DESTROY @new g
stream-options | 6.2 | 8.0 | 2.8 | streams: XADD @x NOMKSTREAM 1-1 f v; XADD @x 1-1 f v; XADD @x NOMKSTREAM 1-2 f v; XADD @x 1-3 f v; XADD @x MINID 1-2 1-4 f v; XADD @x 1-5 f v; XADD @x MINID ~ 1-1 LIMIT 10 1-6 f v; XTRIM @x MINID 1-4; XGROUP CREATE @x g 0; XGROUP CREATECONSUMER @x g c; XREADGROUP GROUP g c2 STREAMS @x >; XAUTOCLAIM @x g c3 0 0
stream-numbers | 7.0 | 8.0 | 2.8 | streams: XADD @x 1-1 f v; XADD @x 1-2 f v; XGROUP CREATE @x g 0 ENTRIESREAD 0; XGROUP SETID @x g 1-1 ENTRIESREAD 1; XSETID @x 9-9 ENTRIESADDED 100 MAXDELETEDID 5-5
stream-references | 8.2 | - | 2.8 | streams: XADD @x 1-1 f v; XADD @x 1-2 f v; XADD @x 1-3 f v; XADD @x 1-4 f v; XADD @x 1-5 f v; XADD @x 1-6 f v; XGROUP CREATE @x g 0; XGROUP CREATE @x g2 0; XREADGROUP GROUP g c COUNT 5 STREAMS @x >; XREADGROUP GROUP g2 c COUNT 3 STREAMS @x >; XACKDEL @x g IDS 2 1-1 1-6; XACKDEL @x g DELREF IDS 1 1-2; XACK @x g 1-3; XACK @x g2 1-3; XDELEX @x ACKED IDS 2 1-3 1-4; XDELEX @x DELREF IDS 1 1-4; XDELEX @x IDS 1 1-5
stream-trims | 8.2 | - | 2.8 | streams: XADD @x 1-1 f v; XADD @x 1-2 f v; XADD @x 1-3 f v; XADD @x 1-4 f v; XADD @x 1-5 f v; XADD @x 1-6 f v; XGROUP CREATE @x g 0; XREADGROUP GROUP g c COUNT 4 STREAMS @x >; XACK @x g 1-1 1-3; XTRIM @x MAXLEN 3 ACKED; XTRIM @x MAXLEN 3 DELREF; XADD @x KEEPREF MAXLEN 3 1-7 f v; XADD @x DELREF MINID 1-6 1-8 f v; XADD @x ACKED MAXLEN 1 1-9 f v
stream-nacks | 8.8 | - | 2.8 | stream-nacks: XADD @x 1-1 f v; XGROUP CREATE @x g 0; XREADGROUP GROUP g c STREAMS @x >; XNACK @x g FAIL IDS 1 1-1
stream-producers | 8.6 | - | 2.8 | stream-producers*: XADD @x IDMP p i1 * f v; XADD @x IDMP p i1 * f v; XCFGSET @x IDMP-DURATION 100 IDMP-MAXSIZE 50
vectors | 8.2 | - | 2.8 | vector-sets: VADD @v VALUES 3 1 2 3 e1; VADD @v VALUES 3 1 2 4 e2; VSETATTR @v e1 {\"a\":1}; VREM @v e2
arrays | 8.8 | - | 2.8 | arrays: ARSET @a 0 v; ARMSET @a 5 x 6 y; ARINSERT @a z; ARDEL @a 5";

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    CASES.lines().map(parse).collect()
}

fn parse(line: &str) -> Case {
    let (head, commands) = line.split_once(": ").unwrap();
    let mut fields = head.split(" | ");
    let mut next = || fields.next().unwrap().trim();
    let name = next().to_owned();
    let (redis, valkey, target) = (version(next()), version(next()), version(next()).unwrap());
    let kind = next();
    let stays = kind.ends_with('*') || kind == "hash-field-expiry";
    let kind = (kind != "-").then(|| {
        let kind = LossKind::from_name(kind.trim_end_matches('*')).unwrap_or_else(|| panic!("{name}: {kind}"));
        let (redis, valkey) = match kind {
            LossKind::Streams => (Some((5, 0)), Some((0, 0))),
            LossKind::HashFieldExpiry => (Some((7, 4)), Some((9, 0))),
            LossKind::Functions => (Some((7, 0)), Some((0, 0))),
            LossKind::VectorSets => (Some((8, 0)), None),
            LossKind::Arrays | LossKind::StreamNacks => (Some((8, 8)), None),
            LossKind::StreamProducers => (Some((8, 6)), None),
            _ => panic!("{name}: {kind}"),
        };
        (kind, redis, valkey)
    });
    let commands = commands.split("; ").map(|command| command.replace("\\n", "\n")).collect();
    Case { name, redis, valkey, target, kind, stays, commands }
}

fn version(text: &str) -> Since {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().unwrap(), minor.parse().unwrap()))
}
