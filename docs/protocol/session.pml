/*
 * The protocol that keeps a session from being live on two nodes: lease, fence, epoch, term, takeover and
 * move, for two nodes, two leaders and one session, over a Redis that may fail over to a replica that lags,
 * or a database that may lose its last commits.
 *
 * Each option of the loop at the end is one atomic step of a node, a leader or a server; spin tries all
 * orders of them. A tick of time may pass at any moment. The rules have one macro each; -DNO_NAME leaves a
 * rule out, and the assertion must fail then (scripts/protocol). README.md explains the simplifications, and
 * names the code of each rule.
 */

/* ===== bounds =========================================================================================== */
#ifndef INCARNATIONS
#define INCARNATIONS 2     /* of each node */
#endif
#ifndef PLACEMENTS
#define PLACEMENTS 2       /* by each leader */
#endif
#ifndef FAILOVERS
#define FAILOVERS 0        /* 1: Redis fails over once */
#endif
#ifndef SQL_LOSSES
#define SQL_LOSSES 0       /* 1: SQL loses its last commits once */
#endif
#ifndef LATE_LOOKS
#define LATE_LOOKS 0       /* 1: a leader may see a heartbeat late; 0: it sees each at once */
#endif
#ifndef LATE_ANSWERS
#define LATE_ANSWERS 0     /* 1: the answer to a heartbeat may arrive late; 0: at once or never */
#endif

/* ===== times, in ticks ================================================================================== */
#ifndef L_NODE
#define L_NODE 2           /* how long a node may run after it sent a heartbeat that then succeeded */
#endif
#define L_LEADER L_NODE    /* silence after which the leader fences a node */
#define LOCK_DELAY 2       /* between the fence and the takeover */
#define TAKEOVER (L_LEADER + LOCK_DELAY)
#define IN_FLIGHT (TAKEOVER - L_NODE)  /* data written at the deadline may arrive for so long */
#define COOL_DOWN 1        /* data of a connection that was closed or reset may arrive for so long */

/* ===== state ============================================================================================ */
#define EPOCHS (2 * PLACEMENTS)
#define EPOCH(c) ((own_generation[c] - 1) * PLACEMENTS + placed[c] + 1)
/* Nodes. Incarnations of a name are numbered from 1. */
byte incarnation[2];
bool runs[2];              /* the incarnation exists */
byte lease[2];             /* ticks until the deadline */
byte answer[2];            /* LATE_ANSWERS: the lease that the answer under way would give; 0: none is */
bool live[2];              /* a connection of the session is open */
byte lingers[2];           /* ticks for which data of an ended connection may still arrive */
byte newest[2];            /* the newest epoch of any order; the session runs under it, if it runs */
/* Redis: the nodes' records, the leader's term, the last epoch and the owner of the session. */
#define READY 0
#define FENCED 1
#define LEFT 2
#define MISSING 3
byte redis_run;            /* 1 after the failover */
byte term, last_epoch;
byte record[2], state[2];  /* the incarnation in the record, and its state */
bool prior_left[2];        /* the incarnation before it had left by itself */
bool owned;                /* the session has an owner: that of last_epoch */
/* What the replica has, from the moment at which it stops following. */
bool copied;
byte copy_term, copy_epoch, copy_record[2], copy_state[2];
bool copy_prior_left[2], copy_owned;
/* SQL: the epoch of the assignment that has not ended; 0: there is none. */
byte sql_term, sql_generation, sql_epoch;
bool standby_stopped, lost;
byte standby_epoch;
/* Orders and reports by epoch. A START may arrive at any time once it was sent, twice or never. */
byte order_node[EPOCHS + 1], order_incarnation[EPOCHS + 1];
bool sent[EPOCHS + 1], stopped[EPOCHS + 1];
/* Leaders: the first and the second coordinator that is elected. */
#define STANDS_BY 0
#define ELECTED 1          /* in Redis; SQL does not know yet */
#define LEADS 2
#define ENDED 3
byte phase[2], own_term[2], own_generation[2], own_run[2];
byte placed[2];            /* placements made */
bool reserved[2];          /* a placement is in Redis, and not yet in SQL */
byte view[2];              /* the epoch of the assignment as the leader knows it; 0: there is none */
bool hot[2];               /* the session ended less than COOL_DOWN ago, or the leadership began then */
byte absent[2];            /* ticks for which the record of the session's owner has been missing */
#define AT(c, n) ((c) * 2 + (n))
byte watch[4];             /* record READY: ticks without a new heartbeat; FENCED: ticks since the fence */
bool unseen[4];            /* LATE_LOOKS: a heartbeat came since the leader looked */
bool copy_seen[4];         /* the replica's heartbeat counter is the one that the leader saw last */
bool placed_once;
byte i, j;                 /* used within one step; 0 between steps */

#define VISIBLE(n) (live[n] || lingers[n] > 0)
#define HAS_RECORD(e) (state[order_node[e]] != MISSING && record[order_node[e]] == order_incarnation[e])
#define OF_LIVE(e) (order_incarnation[e] > 0 && runs[order_node[e]] \
                    && order_incarnation[e] == incarnation[order_node[e]])

/* ===== rules ============================================================================================ */
/* At its deadline a node closes all connections, or its host is killed. */
#ifdef NO_DEADLINE
#define AT_DEADLINE(n) skip
#else
#define AT_DEADLINE(n) end(n, IN_FLIGHT)
#endif
/* The deadline counts from the sending of a heartbeat, not from its answer. */
#ifdef NO_SEND_TIME
#define ON_ANSWER(n) lease[n] = L_NODE
#else
#define ON_ANSWER(n) lease[n] = answer[n]
#endif
/* Once a newer leader has begun, what an older one writes is refused (TERM). No two leaders
   begin with the same term, even when a failover loses a term (TERM_ONCE; it matters only without RUN_ID). */
#ifdef NO_TERM
#define REDIS_ACCEPTS(c) true
#define SQL_ACCEPTS(c) true
#define MAY_BEGIN(c) true
#else
#define REDIS_ACCEPTS(c) (term == own_term[c])
#define SQL_ACCEPTS(c) (sql_term <= own_term[c])
#ifdef NO_TERM_ONCE
#define MAY_BEGIN(c) (sql_term <= own_term[c])
#else
#define MAY_BEGIN(c) (sql_term < own_term[c])
#endif
#endif
/* A leader writes only to the Redis process that elected it. */
#ifdef NO_RUN_ID
#define REDIS_IS_SAME(c) true
#else
#define REDIS_IS_SAME(c) (own_run[c] == redis_run)
#endif
/* A node starts a session only under an epoch that is newer than any that it was ordered to start or stop. */
#ifdef NO_EPOCH
#define EPOCH_IS_NEW(e) (!live[order_node[e]])
#else
#define EPOCH_IS_NEW(e) ((e) > newest[order_node[e]])
#endif
/* A new leader watches for a whole lease before it declares a node dead. */
#ifdef NO_WAIT
#define FIRST_SILENCE L_LEADER
#else
#define FIRST_SILENCE 0
#endif
/* A fence is a compare-and-set on the heartbeat that the leader saw last. */
#ifdef NO_COMPARE
#define UNCHANGED(c, n) true
#else
#define UNCHANGED(c, n) (!unseen[AT(c, n)])
#endif
/* After a fence the leader waits the lock delay: data that were written at the deadline arrive first. */
#ifdef NO_LOCK_DELAY
#define FENCE_IS_OLD(c, n) true
#else
#define FENCE_IS_OLD(c, n) (watch[AT(c, n)] == LOCK_DELAY)
#endif
/* An incarnation without a record may still run: it is replaced only after a takeover's time. */
#ifdef NO_ABSENCE
#define LONG_ABSENT(c) true
#else
#define LONG_ABSENT(c) (absent[c] == TAKEOVER)
#endif
/* A session rests between its end and its next start: data of a closed connection arrive first. */
#ifdef NO_COOL_DOWN
#define COOL(c) true
#else
#define COOL(c) (!hot[c])
#endif
/* A session that moves starts elsewhere only after its node has reported that it stopped. */
#ifdef NO_ACKNOWLEDGEMENT
#define HAS_STOPPED(e) true
#else
#define HAS_STOPPED(e) (stopped[e])
#endif
/* A session is not placed until the owner that Redis records was released. */
#if SQL_LOSSES == 0 || defined(NO_OWNER)
#define OWNER_IS_GONE true
#define SUBJECT(c) view[c]
#else
#define OWNER_IS_GONE (!owned)
#define SUBJECT(c) (view[c] > 0 -> view[c] : (owned -> last_epoch : 0))
#endif

/* ===== steps ============================================================================================ */
inline close(n, ticks) {
  if :: live[n] -> live[n] = false; lingers[n] = ticks :: else fi
}
/* All processes of a node end, or stand still until their data cannot arrive any more. */
inline end(n, ticks) {
  close(n, ticks);
  runs[n] = false; lease[n] = 0; answer[n] = 0; newest[n] = 0
}
/* A heartbeat or a registration changed a node's counter in Redis. */
inline heard(n) {
  if
  :: LATE_LOOKS -> unseen[AT(0, n)] = (phase[0] == LEADS); unseen[AT(1, n)] = (phase[1] == LEADS)
  :: else -> looked(0, n); looked(1, n)
  fi
}
/* A leader sees the newest heartbeat of a node. */
inline looked(c, n) { unseen[AT(c, n)] = false; watch[AT(c, n)] = 0; copy_seen[AT(c, n)] = false }
inline registered(n, left) {
  record[n] = incarnation[n]; state[n] = READY; prior_left[n] = left; lease[n] = L_NODE;
  looked(0, n); looked(1, n)
}
inline forget_leader(c) {
  own_term[c] = 0; own_generation[c] = 0; own_run[c] = 0; placed[c] = 0; reserved[c] = false; view[c] = 0;
  hot[c] = false; absent[c] = 0; looked(c, 0); looked(c, 1)
}
inline free(c, e) {
  if :: sql_epoch == e -> sql_epoch = 0 :: else fi;
  if :: last_epoch == e && REDIS_ACCEPTS(c) && REDIS_IS_SAME(c) -> owned = false :: else fi;
  sql_term = own_term[c]; view[c] = 0; absent[c] = 0; hot[c] = true
}
inline node_tick(n) {
  if :: lingers[n] > 0 -> lingers[n]-- :: else fi;
#ifndef NO_SEND_TIME
  if :: answer[n] > 0 -> answer[n]-- :: else fi;
#endif
  if
  :: lease[n] > 0 ->
     lease[n]--;
     if :: lease[n] == 0 -> AT_DEADLINE(n) :: else fi
  :: else
  fi
}
inline watch_tick(c, n) {
  if
  :: state[n] == READY && watch[AT(c, n)] < L_LEADER -> watch[AT(c, n)]++
  :: state[n] == FENCED && watch[AT(c, n)] < LOCK_DELAY -> watch[AT(c, n)]++
  :: else
  fi
}
inline leader_tick(c) {
  if
  :: phase[c] == LEADS ->
     watch_tick(c, 0); watch_tick(c, 1);
     hot[c] = false;
     j = SUBJECT(c);
     if
     :: j > 0 && !HAS_RECORD(j) -> if :: absent[c] < TAKEOVER -> absent[c]++ :: else fi
     :: else -> absent[c] = 0
     fi;
     j = 0
  :: else
  fi
}
/* Redis goes back to what the replica had; a leader sees a change unless the counter is the one it knows. */
inline fail_over(n) {
  fail_over_watch(0, n); fail_over_watch(1, n);
  state[n] = (copied -> copy_state[n] : MISSING);
  record[n] = copy_record[n]; prior_left[n] = copy_prior_left[n];
  copy_state[n] = READY; copy_record[n] = 0; copy_prior_left[n] = false
}
inline fail_over_watch(c, n) {
  if
  :: (!copied || copy_state[n] == MISSING || copy_state[n] == LEFT || phase[c] != LEADS
      || copy_record[n] != record[n]) -> looked(c, n)
  :: else ->
     if
     :: LATE_LOOKS -> unseen[AT(c, n)] = !copy_seen[AT(c, n)]
     :: !LATE_LOOKS && !copy_seen[AT(c, n)] -> watch[AT(c, n)] = 0
     :: else
     fi;
     if :: state[n] == FENCED && copy_state[n] == READY -> watch[AT(c, n)] = L_LEADER :: else fi;
     copy_seen[AT(c, n)] = false
  fi
}
/* What can have no effect any more is set to zero: it would only multiply the states. */
#define MENTIONED(e) (sql_epoch == e || standby_epoch == e || view[0] == e || view[1] == e \
  || (reserved[0] && EPOCH(0) == e) || (reserved[1] && EPOCH(1) == e) \
  || (owned && last_epoch == e) || (copy_owned && copy_epoch == e))
#ifdef NO_EPOCH
#define MAY_START(e) (sent[e] && OF_LIVE(e))
#else
#define MAY_START(e) (sent[e] && OF_LIVE(e) && e > newest[order_node[e]])
#endif
inline clean() {
  i = 1;
  do
  :: i <= EPOCHS ->
     if
     :: !MENTIONED(i) && !MAY_START(i) ->
        order_node[i] = 0; order_incarnation[i] = 0; sent[i] = false; stopped[i] = false
     :: else -> if :: !OF_LIVE(i) -> sent[i] = false :: else fi
     fi;
     i++
  :: else -> break
  od;
  i = 0
}

#define NODE(n) \
  /* Register: Redis has no incarnation of that name that may still run. */ \
  :: !runs[n] && incarnation[n] < INCARNATIONS && state[n] != READY -> d_step { \
       printf("node %d registers an incarnation\n", n); \
       incarnation[n]++; runs[n] = true; registered(n, state[n] == LEFT); clean() } \
  /* A heartbeat renews the lease. The answer arrives, or not: a node may be killed at any moment. */ \
  :: runs[n] && record[n] == incarnation[n] && state[n] == READY -> d_step { \
       printf("node %d sends a heartbeat, Redis renews its lease\n", n); \
       if :: LATE_ANSWERS -> answer[n] = L_NODE :: else -> lease[n] = L_NODE fi; heard(n) } \
  :: runs[n] && lease[n] > 0 && answer[n] > lease[n] -> d_step { \
       printf("node %d gets the answer to its heartbeat\n", n); ON_ANSWER(n); answer[n] = 0 } \
  /* Redis says that the incarnation was fenced or replaced: the node ends at once. */ \
  :: runs[n] && state[n] != MISSING && (record[n] != incarnation[n] || state[n] != READY) -> \
     d_step { printf("node %d hears that it was fenced or replaced, and ends\n", n); end(n, COOL_DOWN); clean() } \
  /* Redis has lost the record: the node registers again within its lease. */ \
  :: runs[n] && lease[n] > 0 && state[n] == MISSING -> d_step { \
       printf("node %d registers again, for Redis had lost it\n", n); registered(n, false) } \
  /* The node is killed. */ \
  :: runs[n] -> d_step { printf("node %d is killed\n", n); end(n, COOL_DOWN); clean() } \
  /* The supervisor has ended its host, and says that the incarnation has left. */ \
  :: incarnation[n] > 0 && record[n] == incarnation[n] && (state[n] == READY || state[n] == FENCED) -> \
     d_step { \
       printf("node %d says that its incarnation has left\n", n); \
       end(n, COOL_DOWN); state[n] = LEFT; \
       if :: lingers[n] > COOL_DOWN -> lingers[n] = COOL_DOWN :: else fi; \
       looked(0, n); looked(1, n); clean() }

#define TO(e) order_node[e]
#define ORDER(e) \
  /* START. What runs under an older epoch runs under the newer one from now on. */ \
  :: sent[e] && OF_LIVE(e) && EPOCH_IS_NEW(e) -> d_step { \
       printf("node %d starts the session under epoch %d\n", TO(e), e); \
       if \
       :: live[TO(e)] \
       :: else -> live[TO(e)] = true; assert(!lingers[TO(e)] && !VISIBLE(1 - TO(e))) \
       fi; \
       newest[TO(e)] = e; clean() } \
  /* STOP, or the session ends by itself: no connection of it is open, nor can one open under this epoch. */ \
  :: (sent[e] || SQL_LOSSES) && OF_LIVE(e) && !stopped[e] -> d_step { \
       printf("node %d stops the session of epoch %d, and reports it\n", TO(e), e); \
       if :: newest[TO(e)] <= e -> close(TO(e), COOL_DOWN); newest[TO(e)] = e :: else fi; \
       stopped[e] = true; clean() }

#define COORDINATOR(c) \
  /* Elect, in Redis: the term is above all that Redis and SQL know. */ \
  :: phase[c] == STANDS_BY && (c == 0 || phase[0] != STANDS_BY) -> d_step { \
       term = (term > sql_term -> term : sql_term) + 1; \
       printf("leader %d is elected with term %d\n", c, term); \
       phase[c] = ELECTED; own_term[c] = term; own_run[c] = redis_run } \
  /* Begin, in SQL: a new generation of epochs. From now on SQL refuses older terms. */ \
  :: phase[c] == ELECTED && MAY_BEGIN(c) -> d_step { \
       printf("leader %d begins in SQL, and reads epoch %d there\n", c, sql_epoch); \
       phase[c] = LEADS; sql_term = own_term[c]; sql_generation++; own_generation[c] = sql_generation; \
       view[c] = sql_epoch; hot[c] = true; \
       if :: state[0] == READY -> watch[AT(c, 0)] = FIRST_SILENCE :: else fi; \
       if :: state[1] == READY -> watch[AT(c, 1)] = FIRST_SILENCE :: else fi; \
       if \
       :: REDIS_ACCEPTS(c) && REDIS_IS_SAME(c) && sql_epoch > 0 && sql_epoch >= last_epoch -> \
          last_epoch = sql_epoch; owned = SQL_LOSSES \
       :: else \
       fi; \
       END_OLDER(c); clean() } \
  /* Place: reserve in Redis. */ \
  RESERVE(c, 0) RESERVE(c, 1) \
  /* Commit to SQL, which allows one assignment that has not ended, and send START. */ \
  :: phase[c] == LEADS && reserved[c] && SQL_ACCEPTS(c) -> d_step { \
       printf("leader %d commits epoch %d to SQL, and sends START\n", c, EPOCH(c)); \
       if \
       :: sql_epoch == 0 -> sql_epoch = EPOCH(c); sent[EPOCH(c)] = true; view[c] = EPOCH(c) \
       :: else -> if :: last_epoch == EPOCH(c) -> owned = false :: else fi; hot[c] = true \
       fi; \
       sql_term = own_term[c]; reserved[c] = false; placed[c]++; absent[c] = 0; clean() } \
  /* The session has ended on its node. */ \
  :: phase[c] == LEADS && !reserved[c] && SQL_ACCEPTS(c) && SUBJECT(c) > 0 && HAS_STOPPED(SUBJECT(c)) -> \
     d_step { j = SUBJECT(c); printf("leader %d learns that epoch %d has stopped\n", c, j); free(c, j); j = 0; clean() } \
  /* Take over from an owner that has left or was fenced. */ \
  :: phase[c] == LEADS && !reserved[c] && SQL_ACCEPTS(c) && SUBJECT(c) > 0 && HAS_RECORD(SUBJECT(c)) \
     && (state[TO(SUBJECT(c))] == LEFT \
         || (state[TO(SUBJECT(c))] == FENCED && FENCE_IS_OLD(c, TO(SUBJECT(c))))) -> \
     d_step { j = SUBJECT(c); printf("leader %d takes over from a fenced or left owner: epoch %d\n", c, j); free(c, j); j = 0; clean() } \
  /* Take over from an owner without a record. */ \
  :: phase[c] == LEADS && !reserved[c] && SQL_ACCEPTS(c) && SUBJECT(c) > 0 && !HAS_RECORD(SUBJECT(c)) \
     && (LONG_ABSENT(c) || (prior_left[TO(SUBJECT(c))] \
                            && record[TO(SUBJECT(c))] == order_incarnation[SUBJECT(c)] + 1)) -> \
     d_step { j = SUBJECT(c); printf("leader %d takes over from an owner without a record: epoch %d\n", c, j); free(c, j); j = 0; clean() } \
  WATCH(c, 0) WATCH(c, 1)

#ifdef NO_TERM
#define END_OLDER(c) skip
#else
#define END_OLDER(c) \
       if \
       :: own_term[c] > own_term[1 - c] && phase[1 - c] != STANDS_BY -> \
          phase[1 - c] = ENDED; forget_leader(1 - c) \
       :: else \
       fi
#endif

/* The nodes are alike: the first placement is on node 0. */
#define RESERVE(c, n) \
  :: phase[c] == LEADS && REDIS_ACCEPTS(c) && REDIS_IS_SAME(c) && view[c] == 0 && !reserved[c] && COOL(c) \
     && placed[c] < PLACEMENTS && state[n] == READY && EPOCH(c) > last_epoch && OWNER_IS_GONE \
     && (placed_once || n == 0) -> d_step { \
       printf("leader %d reserves a place on node %d under epoch %d\n", c, n, EPOCH(c)); \
       placed_once = true; last_epoch = EPOCH(c); owned = SQL_LOSSES; reserved[c] = true; \
       order_node[last_epoch] = n; order_incarnation[last_epoch] = record[n]; clean() }

#define WATCH(c, n) \
  :: LATE_LOOKS && unseen[AT(c, n)] -> d_step { printf("leader %d sees a heartbeat of node %d\n", c, n); looked(c, n) } \
  /* Fence: silence for a whole lease, as far as this leader has seen. */ \
  :: phase[c] == LEADS && REDIS_ACCEPTS(c) && REDIS_IS_SAME(c) && state[n] == READY \
     && watch[AT(c, n)] == L_LEADER && UNCHANGED(c, n) -> d_step { \
       printf("leader %d fences node %d\n", c, n); state[n] = FENCED; \
       unseen[AT(0, n)] = false; unseen[AT(1, n)] = false; watch[AT(0, n)] = 0; watch[AT(1, n)] = 0 }

#if PLACEMENTS == 1
#define ORDERS ORDER(1) ORDER(2)
#else
#define ORDERS ORDER(1) ORDER(2) ORDER(3) ORDER(4)
#endif

active proctype world() {
  d_step { state[0] = MISSING; state[1] = MISSING }
  do
  :: d_step { printf("tick\n"); node_tick(0); node_tick(1); leader_tick(0); leader_tick(1); clean() }
  NODE(0)
  NODE(1)
  ORDERS
  COORDINATOR(0)
  COORDINATOR(1)
#if FAILOVERS
  /* The replica stops following. */
  :: !copied && redis_run == 0 -> d_step {
       printf("the replica stops following\n");
       copied = true; copy_term = term; copy_epoch = last_epoch; copy_owned = owned;
       copy_record[0] = record[0]; copy_state[0] = state[0]; copy_prior_left[0] = prior_left[0];
       copy_record[1] = record[1]; copy_state[1] = state[1]; copy_prior_left[1] = prior_left[1];
       copy_seen[0] = (phase[0] == LEADS && !unseen[0]); copy_seen[1] = (phase[0] == LEADS && !unseen[1]);
       copy_seen[2] = (phase[1] == LEADS && !unseen[2]); copy_seen[3] = (phase[1] == LEADS && !unseen[3])
     }
  /* The replica takes the place of Redis. One that has never followed is a Redis that was flushed. */
  :: redis_run == 0 -> d_step {
       printf("Redis fails over\n"); redis_run = 1; fail_over(0); fail_over(1);
       term = copy_term; last_epoch = copy_epoch; owned = copy_owned;
       copied = false; copy_term = 0; copy_epoch = 0; copy_owned = false; clean()
     }
#endif
#if SQL_LOSSES
  /* The standby of SQL stops following, and takes its place later; the leader of that moment ends. */
  :: !standby_stopped -> d_step {
       printf("the standby of SQL stops following\n"); standby_stopped = true; standby_epoch = sql_epoch }
  :: standby_stopped && !lost && phase[1] != LEADS -> d_step {
       printf("SQL goes back to epoch %d\n", standby_epoch);
       lost = true; sql_epoch = standby_epoch; standby_epoch = 0;
       if :: phase[0] != STANDS_BY -> phase[0] = ENDED; forget_leader(0) :: else fi; clean()
     }
#endif
  od
}
