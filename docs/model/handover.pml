/* SPDX-License-Identifier: Apache-2.0 */
/* Handover of one NIC between processes, for spin. README.md says how to run it, what is modelled and what is not.
 *
 * Processes 0 (the owner at the start), 1 (target or standby) and, with N=3, 2 (another standby) run the same code, as the program
 * will. A statement, or an atomic {...}, is one step; between two steps anything may happen to anybody. A process that takes no step
 * for a while is slow, or was stopped and woken: every length of delay is explored, and a deadline may pass at any moment.
 */
#ifndef N
#define N 2         /* processes */
#endif
/* What may go wrong, at most so often and at any step. A run may also leave any of it out: see "calm" */
#ifndef KILLS
#define KILLS 0     /* SIGKILL from outside */
#endif
#ifndef STOPS
#define STOPS 0     /* SIGSTOP without SIGCONT */
#endif
#ifndef WAKES
#define WAKES 0     /* SIGSTOP and SIGCONT as steps of their own */
#endif
#ifndef BREAKS
#define BREAKS 0    /* a channel breaks while both ends live */
#endif
#ifndef HASTY
#define HASTY 0     /* a deadline of 500 ms passes for a process that goes on later */
#endif
#ifndef FAULTS
#define FAULTS 0    /* who took finds in its first pass that it cannot */
#endif
#ifndef RESTARTS
#define RESTARTS 0  /* a dead process starts again with nothing, in its old slot of the holder table */
#endif
/* What is asked */
#ifndef OFFERS
#define OFFERS 1
#endif
#ifndef PREPS
#define PREPS 0     /* PREPAREs after the first, which is done before we start */
#endif
#ifndef ASKS
#define ASKS 0      /* requests of the VMM */
#endif
#ifndef FRAMES
#define FRAMES 0
#endif
#ifndef CLOSES
#define CLOSES 0    /* netdev_del */
#endif
#ifndef COLDS
#define COLDS 0     /* starts without a set, on a kept listener */
#endif
#ifndef AUTOFENCE
#define AUTOFENCE 0 /* 1: an owner that hangs is fenced too */
#endif

#ifndef MUTANT
#define MUTANT 0
#endif
#define IS(m) (MUTANT == m)
/* mutants: rules of the draft, or readings that it left open, which this model refutes */
#define FENCE_WITHOUT_WORD 1
#define EQUAL_SEQ 2
#define SEQ_BEFORE_CHANGE 3
#define SEQ_WITHOUT_EPOCH 4
#define CLOSE_BEFORE_WORD 5
#define OFFER_WITHOUT_EPOCH 6
#define OFFER_BY_MESSAGE 7
#define OFFER_FOR_PEER_ONLY 8
#define LOST_CLOSES 9
#define UNFIT_CLOSES 10
#define EOF_CLOSES 11
#define ONLY_SOURCE_FENCES 12
#define DROP_ONLY_ON_RUNNING 13
#define SHUTDOWN_WITHOUT_WORD 14
#define COLD_WITHOUT_WORD 15
#define COLD_BESIDE_FENCED 16
#define SLOT_REUSED 17
#define AHEAD_KEEPS_NUMBER 18
#define DROPS_ON_EOF 19
/* mutants: mistakes that an implementation could make */
#define NO_EPOLL_DEL 20
#define REGISTERS_EARLY 21
#define RESUME_WITHOUT_WORD 22
#define VMM_READ_WHILE_OFFERED 23
#define OWN_RECORD 24
#define TAKE_ON_EOF 25
#define FEEDER_FOR_HOLDER 26
#define EPOCH_WRAPS 27
#define NO_SEQ_CHECK 28
#define NO_FENCE 29
#define FENCE_DOES_NOT_WAIT 30
#define FENCED_TAKEN_AT_ONCE 31
#define FENCER_SUPERSEDED 32
#define GIVES_BACK_READING 33
#define LOST_KEEPS_READING 34
#define NEVER_CLOSES 35
#define KEEPS_QUEUE 36
#define IDLE_BEFORE_CONSUME 37
#define REPLYING_REDONE 38
#define CONSUME_BEFORE_HANDLING 39
/* not mutants but marks: a run that gets there must exist */
#define SEE_HANDOVER 50
#define SEE_SECOND_TRY 51
#define SEE_DROP 52
#define SEE_FENCE 53
#define SEE_GIVEN_BACK 54
#define SEE_STANDBY 55
#define SEE_REDONE 56
#define SEE_REPLYING 57
#define SEE_COLD 58
#define SEE_TAKEN_BACK 59

/* the ownership word: epoch | phase | holder | peer */
#define NONE 3
#define OWNED 0
#define OFFERED 1   /* holder: source, peer: target. Nobody reads */
#define TAKEN 2     /* peer: who offered, or NONE */
#define RUNNING 3
#define FENCED 4    /* holder: who fences, peer: who is fenced and may still read */
#define CLOSED 5
#define EPOCH(x)  ((x) >> 7)
#define PHASE(x)  (((x) >> 4) & 7)
#define HOLDER(x) (((x) >> 2) & 3)
#define PEER(x)   ((x) & 3)
#define PH PHASE(word)
#define H  HOLDER(word)
#define P  PEER(word)
#define EPOCHS (IS(EPOCH_WRAPS) -> 2 : 256)
#define NEXT(x, ph, h, p) ((((((EPOCH(x) + 1) % EPOCHS) * 8 + (ph)) * 4 + (h)) * 4) + (p))

/* st: a killed process first closes its files (EOF for others), later its pidfd becomes readable */
#define LIVE 0
#define DYING 1
#define GONE 2
#define DEAD 3
/* role: where a process is, for the properties */
#define IDLE 0
#define WATCH 1
#define OWNER 2
#define BUSY 3
/* sess */
#define NOTHING 0
#define HANDLING 1
#define REPLYING 2

mtype = { PREPARE, CHANGE };
chan c[N] = [2] of { mtype, short, short };      /* to a process, from who feeds it: seq, and (ghost) the seq before it */
short word = NONE, bseq;                         /* NIC block: ownership word; seq of the session's state */
byte sess;                                       /* NIC block: session word */
byte vq;                                         /* VMM connection: requests in the socket */
bool waiting, shut, answered;                    /* the VMM waits; connection shut down; ghost: the first in the socket is answered */
byte st[N], stopped[N], role[N];
byte has[N], fed[N];                             /* has: 2 all copies, 1 some, 0 none; fed: other end of my channel */
short seq[N];                                    /* of the set that I hold */
bool port[N], conn[N];                           /* who reads port and rings; who reads the VMM connection */
bool pend, excused;                              /* a frame moved, journal not yet written; ghost: by one who died */
short eff, par[N]; byte by[N];                   /* ghosts: seq in effect; seq before my last change; who fed me, unless a channel broke */
bool mark;                                       /* for some mutants and marks */
byte kills = KILLS, stops = STOPS, wakes = WAKES, breaks = BREAKS, hasty = HASTY, faults = FAULTS, restarts = RESTARTS;
byte offers = OFFERS, preps = PREPS, asks = ASKS, frames = FRAMES, closes = CLOSES, colds = COLDS, failed;

#if N == 3
#define ALL(f) f(0) f(1) f(2)
#define OTHERS(f) f((me + 1) % 3) f((me + 2) % 3)
#define OTHER(a) (a[(me + 1) % 3] || a[(me + 2) % 3])
#else
#define ALL(f) f(0) f(1)
#define OTHERS(f) f(1 - me)
#define OTHER(a) (a[1 - me])
#endif
#define ASSERT(k, cond) if :: (cond) :: else -> failed = k; assert(failed != k) fi      /* property k, see README.md */
#define SEE(k, cond) if :: IS(k) && (cond) -> failed = 9; assert(failed != 9) :: else fi

/* seq = epoch in which its author owned | counter. A set is current if it is not behind the block */
#define NUM(s) (IS(SEQ_WITHOUT_EPOCH) -> ((s) & 15) : (s))
#define NEWSEQ (EPOCH(word) * 16 + ((bseq + 1) & 15))
#define NOTBEHIND(p) (IS(NO_SEQ_CHECK) || (IS(EQUAL_SEQ) -> seq[p] == bseq : NUM(seq[p]) >= NUM(bseq)))
#define CURRENT(p) (has[p] >= (IS(CLOSE_BEFORE_WORD) -> 1 : 2) && NOTBEHIND(p))
#define UP(p) (st[p] == LIVE && !stopped[p])
#define COMPLETE(p) (UP(p) && CURRENT(p))
#define ANY(p) || COMPLETE(p)
#define DRAINED (src || empty(c[me]))            /* what the feeder sent before it died is read first */
#define DEADH (IS(TAKE_ON_EOF) -> fed[me] == NONE : (IS(FEEDER_FOR_HOLDER) && by[me] != NONE -> st[by[me]] == DEAD : st[H] == DEAD))
/* the target's channel is open, or its heartbeat has gone on since the channel's end */
#define HEARD (st[H] != GONE || IS(DROPS_ON_EOF))
#define LATE (stopped[H] || role[H] == IDLE || hasty > 0)
#define OVERDUE (LATE && (PH == OFFERED && !IS(OFFER_FOR_PEER_ONLY) && !IS(OFFER_BY_MESSAGE) || \
                          PH == TAKEN && !IS(NO_FENCE) && (src || !IS(ONLY_SOURCE_FENCES)) || PH == FENCED && IS(FENCER_SUPERSEDED) || \
                          AUTOFENCE && (PH == RUNNING || PH == OWNED && fed[me] == H)))

inline cas(ph, h, p) { d_step { if :: word == w -> word = NEXT(w, ph, h, p); w = word; ok = 1 :: else -> ok = 0; w = 0 fi } }
inline purge(p) { do :: c[p]?_,_,_ :: empty(c[p]) -> break od }
#define UNLINK(q) if :: fed[q] == x -> fed[q] = NONE; by[q] = (st[x] == LIVE -> NONE : x) :: else fi;
inline eof_for_fed(x) { ALL(UNLINK) }
inline register() { d_step {                     /* EPOLL_CTL_ADD, and go on from the journal */
  ASSERT(5, has[me] == 2); ASSERT(1, !OTHER(port)); ASSERT(8, !pend || excused); ASSERT(8, rec == NONE || frames + excused >= rec);
  pend = 0; excused = 0; port[me] = 1 } }
#define FRAME atomic { frames > 0 && port[me] -> frames--; pend = 1 }; pend = 0

#define ANNOUNCE(q) atomic { \
  if :: fed[q] == me && nfull(c[q]) -> c[q]!CHANGE(n, bseq) \
     :: fed[q] == me && full(c[q]) -> fed[q] = NONE; by[q] = NONE      /* expelled */ \
     :: else fi };
#define OFFER(q) :: atomic { offers > 0 && fed[q] == me && sess == NOTHING -> offers--; w = word; \
    conn[me] = 0; port[me] = IS(NO_EPOLL_DEL); rec = (IS(OWN_RECORD) -> frames : NONE); \
    cas(OFFERED, me, q); if :: ok -> goto offered :: else -> goto lost fi }
#define PREP(q) :: atomic { preps > 0 && role[q] == IDLE && st[q] == LIVE && fed[q] == NONE && empty(c[q]) -> \
    preps--; fed[q] = me; by[q] = me; c[q]!PREPARE(bseq, bseq) }

proctype proc(byte me) provided (!stopped[me]) {
  short w, n; bool ok, src; byte v, rec = NONE;  /* w: the word as read; src: I offered, and have not dropped my copies */
life: {
  if :: has[me] == 0 -> goto idle
     :: has[me] > 0 && me == 0 -> goto owner
     :: has[me] > 0 && me > 0 -> goto watch fi;

idle:
  if :: atomic { c[me]?PREPARE(seq[me], par[me]) -> has[me] = 2; role[me] = WATCH }
     :: atomic { PH == FENCED && P == me -> w = word; cas(TAKEN, H, me); w = 0; goto idle }
     :: atomic { colds > 0 && st[H] == DEAD && PH != CLOSED && (PH != FENCED || st[P] == DEAD || IS(COLD_BESIDE_FENCED)) ->
          colds--; w = word };                     /* a kept listener, and nobody took for 2 s */
        atomic { cas(CLOSED, me, NONE); w = 0; if :: ok || IS(COLD_WITHOUT_WORD) -> goto cold :: else -> goto idle fi }
  fi;

watch:  /* a standby, a target, a source after its offer, one who fences: all watch the word */
  do
  :: c[me]?CHANGE(seq[me], par[me])

  /* offered to me: compare with the value that was read before the checks */
  :: atomic { !src && PH == OFFERED && P == me && CURRENT(me) && (mark || !IS(OFFER_BY_MESSAGE)) -> w = word };
     atomic {
       if :: IS(OFFER_WITHOUT_EPOCH) && PH == OFFERED && P == me -> w = word :: else fi;
       cas(TAKEN, me, HOLDER(w));
       if :: ok -> goto taken
          :: !ok && IS(LOST_CLOSES) -> ASSERT(2, st[H] == LIVE || !CURRENT(me)); goto giveup
          :: else fi }

  /* given back to me */
  :: atomic { PH == TAKEN && H == me && CURRENT(me) && DRAINED -> SEE(SEE_GIVEN_BACK, true); w = word; goto taken }

  /* the holder is dead, or does not go on: take where nobody can read, fence where somebody may */
  :: atomic { H != me && PH != CLOSED && (PH != FENCED || P != me || IS(FENCER_SUPERSEDED)) && CURRENT(me) && DRAINED && (DEADH || OVERDUE) ->
       if :: DEADH || stopped[H] || role[H] == IDLE :: else -> hasty-- fi; w = word; v = DEADH;
       if :: IS(FENCE_WITHOUT_WORD) && PH == TAKEN && !DEADH -> v = H; goto kill :: else fi };
     atomic {
       SEE(SEE_TAKEN_BACK, src && v && PHASE(w) == OWNED && word == w);
       if :: PHASE(w) == FENCED && !IS(FENCED_TAKEN_AT_ONCE) -> cas(FENCED, me, PEER(w))
          :: PHASE(w) != FENCED && PHASE(w) != OFFERED && !v -> cas(FENCED, me, HOLDER(w))
          :: else -> cas(TAKEN, me, NONE); if :: ok -> goto taken :: else fi
       fi; w = 0; v = 0 }

  /* I fence: it gives back, or I kill it and wait for its end */
  :: atomic { PH == FENCED && H == me && st[P] == LIVE -> v = P };
kill:
     atomic { ASSERT(7, AUTOFENCE || !(H == v && (PH == OWNED || PH == RUNNING)));
       if :: st[v] == LIVE -> st[v] = DYING; stopped[v] = 0 :: else fi; v = 0; w = 0 }
  :: atomic { PH == FENCED && H == me && (st[P] == DEAD || IS(FENCE_DOES_NOT_WAIT) && st[P] != LIVE) && CURRENT(me) && DRAINED ->
       SEE(SEE_FENCE, true); w = word; cas(TAKEN, me, NONE); goto taken }

  /* I am fenced, and have let go */
  :: atomic { PH == FENCED && P == me -> w = word; cas(TAKEN, H, me); w = 0 }

  /* a source drops: first the word. It keeps its copies until the target has said that everything is in use, which may be at once */
  :: atomic { src && PH == RUNNING && H != me && !DEADH && HEARD && !IS(CLOSE_BEFORE_WORD) && (P == me || !IS(DROP_ONLY_ON_RUNNING)) ->
       SEE(SEE_DROP, true); w = word; cas(OWNED, H, NONE); w = 0; if :: IS(DROP_ONLY_ON_RUNNING) -> goto giveup :: else fi }
  :: atomic { IS(CLOSE_BEFORE_WORD) && src && PH == RUNNING && H != me && !DEADH -> has[me] = 1; w = word };
     atomic { if :: DEADH -> w = 0 :: else -> cas(OWNED, H, NONE); w = 0; if :: ok -> goto giveup :: else fi fi }
  :: atomic { src && (PH == OWNED || PH == OFFERED) && H != me && !DEADH && HEARD && !IS(DROP_ONLY_ON_RUNNING) && !IS(NEVER_CLOSES) ->
       ASSERT(2, st[H] != GONE || !CURRENT(me)); goto giveup }
  :: atomic { src && H != me && !CURRENT(me) -> goto giveup }

  /* a standby drops its copies: NIC closed; the owner does not feed me, and is alive (its heartbeat went on after EOF); behind for good */
  :: atomic { PH == CLOSED -> goto giveup }
  :: atomic { !src && PH == OWNED && H != me && fed[me] != H && (UP(H) || IS(EOF_CLOSES) && st[H] != DEAD) ->
       ASSERT(2, st[H] == LIVE || !CURRENT(me)); goto giveup }
  :: atomic { !src && !CURRENT(me) && empty(c[me]) && (DEADH || fed[me] == NONE) && PH != CLOSED &&
       (H != me || PH == TAKEN || PH == FENCED && st[P] == DEAD) ->
       ASSERT(2, by[me] != H || has[me] != 2 || (seq[me] != eff && par[me] != eff));
       if :: IS(UNFIT_CLOSES) && DEADH -> ASSERT(2, !(0 OTHERS(ANY))); shut = 1; w = word; cas(CLOSED, me, NONE) :: else fi; goto giveup }

  :: atomic { IS(SHUTDOWN_WITHOUT_WORD) && (PH == TAKEN || PH == OFFERED) && H != me };
     atomic { ASSERT(3, PH != OWNED); shut = 1; waiting = 0; vq = 0 }
  :: atomic { IS(REGISTERS_EARLY) && !port[me] -> register() }
  od;

giveup:
  atomic { role[me] = BUSY; has[me] = 1 };
  atomic { d_step { has[me] = 0; seq[me] = 0; par[me] = 0; src = 0; by[me] = NONE; fed[me] = NONE; rec = NONE; w = 0;
    if :: IS(KEEPS_QUEUE) :: else -> purge(me) fi; eof_for_fed(me); role[me] = IDLE }; goto idle };

taken:
  atomic { role[me] = BUSY; ASSERT(6, seq[me] == eff || par[me] == eff); src = 0; v = 0; register() };
  do
  :: FRAME
  :: atomic { cas(RUNNING, me, PEER(w)); if :: ok -> break :: else -> goto lost fi }
  :: atomic { faults > 0 -> faults--; port[me] = 0; if :: PEER(w) != NONE -> cas(TAKEN, PEER(w), me) :: else fi; goto giveup }
  od;

  do    /* running: the data path only */
  :: FRAME
  :: atomic { cas(OWNED, me, NONE); if :: PH == OWNED && H == me -> goto owner :: else -> goto lost fi }
  od;

lost:
  if :: atomic { IS(GIVES_BACK_READING) && PH == FENCED && P == me -> w = word; cas(TAKEN, H, me) } :: else fi;
  atomic { conn[me] = 0; port[me] = IS(LOST_KEEPS_READING); w = 0; rec = NONE; role[me] = WATCH; goto watch };

owner:
  atomic { d_step { ASSERT(5, has[me] == 2); ASSERT(1, !OTHER(conn)); conn[me] = 1; w = 0; src = 0; rec = NONE; role[me] = OWNER;
    fed[me] = NONE; by[me] = NONE;
    if :: seq[me] != bseq && !IS(AHEAD_KEEPS_NUMBER) -> seq[me] = NEWSEQ :: else fi;     /* one ahead: that change is mine now */
    bseq = seq[me]; eff = seq[me]; par[me] = seq[me];
    SEE(SEE_HANDOVER, me != 0 && UP(0)); SEE(SEE_SECOND_TRY, me != 0 && mark); SEE(SEE_REDONE, sess == HANDLING);
    SEE(SEE_STANDBY, me == 2 && st[0] == DEAD && st[1] == DEAD); SEE(SEE_REPLYING, sess == REPLYING);
    if :: sess == REPLYING && !IS(REPLYING_REDONE) -> shut = 1; vq = 0; answered = 0; waiting = 0; sess = NOTHING :: else fi } };
  do
  :: FRAME
  /* peek, handle, reply, consume. Who is fed hears of a change first, then the block says it, then it takes effect */
  :: atomic { vq > 0 && !shut -> sess = HANDLING; vq = vq - IS(CONSUME_BEFORE_HANDLING);
       n = NEWSEQ; if :: IS(SEQ_BEFORE_CHANGE) -> bseq = n :: else fi };
     OTHERS(ANNOUNCE)
     bseq = n;
     atomic { eff = n; seq[me] = n; par[me] = n; n = 0; sess = REPLYING };
     atomic { ASSERT(3, !answered); answered = 1; waiting = 0; if :: IS(IDLE_BEFORE_CONSUME) -> sess = NOTHING :: else fi };
     atomic { vq = vq - !IS(CONSUME_BEFORE_HANDLING); answered = 0 };
     sess = NOTHING
  :: atomic { PH == FENCED && P == me -> goto lost }
  :: atomic { closes > 0 -> closes--; w = word; cas(CLOSED, me, NONE); if :: ok -> shut = 1; waiting = 0; vq = 0 :: else -> goto lost fi;
       port[me] = 0; conn[me] = 0; goto giveup }
  OTHERS(OFFER)
  OTHERS(PREP)
  od;

offered:  /* FAILED, EOF, a dead target, a message of the VMM, 200 ms: all lead to the same compare-and-set */
  if :: atomic { IS(OFFER_BY_MESSAGE) -> mark = 1 } :: else fi;
  if :: atomic { IS(VMM_READ_WHILE_OFFERED) -> ASSERT(1, !OTHER(conn)); conn[me] = 1 } :: else fi;
  atomic { cas(OWNED, me, NONE); mark = IS(SEE_SECOND_TRY);
    if :: ok || IS(RESUME_WITHOUT_WORD) -> register(); goto owner
       :: else -> src = 1; role[me] = WATCH; goto watch fi };

cold:     /* a new block and a new connection, not followed further */
  atomic { SEE(SEE_COLD, true); has[me] = 2; ASSERT(1, !OTHER(port)); port[me] = 1; role[me] = OWNER }; false

  } unless atomic { st[me] == DYING -> d_step { st[me] = GONE; role[me] = IDLE; has[me] = 0; seq[me] = 0; par[me] = 0; by[me] = NONE;
    excused = (excused || port[me]); port[me] = 0; conn[me] = 0; fed[me] = NONE; purge(me); eof_for_fed(me);
    w = 0; n = 0; ok = 0; src = 0; v = 0; rec = NONE } };
  st[me] == LIVE -> goto life
}

#define KILL(i) :: atomic { kills > 0 && st[i] == LIVE -> kills--; st[i] = DYING; stopped[i] = 0 }
#define STOP(i) :: atomic { stops > 0 && st[i] == LIVE && !stopped[i] -> stops--; stopped[i] = 1 }
#define WAKE(i) :: atomic { wakes > 0 && st[i] == LIVE && !stopped[i] -> wakes--; stopped[i] = 2 } \
                :: stopped[i] == 2 -> stopped[i] = 0
#define BREAK(i) :: atomic { breaks > 0 && fed[i] != NONE -> breaks--; fed[i] = NONE; by[i] = NONE; if :: purge(i) :: true fi }
#define PIDFD(i) :: st[i] == GONE -> st[i] = DEAD
#define FORGET(q) if :: by[q] == x -> by[q] = NONE :: else fi;
inline forget(x) { ALL(FORGET) }
#define RESTART(i) :: atomic { restarts > 0 && st[i] == DEAD && (H != i && P != i || IS(SLOT_REUSED)) -> restarts--; forget(i); st[i] = LIVE }
proctype env() {
  do
  ALL(KILL) ALL(STOP) ALL(WAKE) ALL(BREAK) ALL(PIDFD) ALL(RESTART)
  :: d_step { kills + stops + wakes + breaks + hasty + faults + restarts + offers + preps + asks + closes + colds > 0 ->    /* calm */
       kills = 0; stops = 0; wakes = 0; breaks = 0; hasty = 0; faults = 0; restarts = 0;
       offers = 0; preps = 0; asks = 0; closes = 0; colds = 0 }
  od
}

proctype vmm() { do :: atomic { asks > 0 && !waiting && !shut -> asks--; waiting = 1; vq++ } od }

/* when nothing can move any more (no run is endless: check.sh proves it) */
#define HOLDS(p) || (UP(p) && has[p] > 0)
#define FED(p) || (COMPLETE(p) && fed[p] == H)
#define STUCK (st[H] == LIVE && stopped[H] && (PH == FENCED || PH == RUNNING && !AUTOFENCE || PH == OWNED && !(AUTOFENCE && (0 ALL(FED)))))
#define AGAIN(p) ASSERT(4, p == H || !UP(p) || !UP(H) || PH != OWNED || \
    (role[p] == IDLE && fed[p] == NONE && empty(c[p]) && has[p] == 0) || (role[p] == WATCH && fed[p] == H && CURRENT(p)));
#define CLEAN(p) ASSERT(5, !UP(p) || has[p] == 0 || p == H || (role[p] == WATCH && (fed[p] != NONE || stuck)));
proctype monitor() {
  bool stuck;
  timeout;
  atomic {
    stuck = STUCK;
    ASSERT(2, !(0 ALL(ANY)) || stuck || (PH == OWNED && UP(H) && port[H] && conn[H]) || (PH == CLOSED && UP(H) && port[H]));
    ASSERT(3, !waiting || stuck || PH == CLOSED || !(0 ALL(HOLDS)));
    ALL(AGAIN) ALL(CLEAN)
  }
}

init { atomic {
  has[0] = 2; port[0] = 1; conn[0] = 1; role[0] = OWNER; fed[0] = NONE; by[0] = NONE; run proc(0);
  has[1] = 2; role[1] = WATCH; run proc(1);
#if N == 3
  has[2] = 2; role[2] = WATCH; run proc(2);
#endif
  run env(); run vmm(); run monitor() } }
