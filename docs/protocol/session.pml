/*
 * The protocol that keeps a session from being live on two nodes: lease, fence, epoch, term, takeover and
 * move, for two nodes, two coordinators and one session, over a Redis that may fail over to a replica that
 * lags, or a database that may lose its last commit.
 *
 * Each option of the loop below is one atomic step of a node, a coordinator or a server; spin tries all
 * orders of them. A tick of time may pass at any moment. The rules stand on top, one macro each; -DNO_NAME
 * leaves a rule out, and the assertion must fail then (scripts/protocol). README.md says where each rule is
 * in the code.
 */
#define L_NODE 2           /* ticks that a node may run after it sent a heartbeat that then succeeded */
#define L_LEADER 3         /* ticks without a new heartbeat before the leader fences a node */
#define LOCK_DELAY 1       /* ticks between the fence and the takeover */
#define TAKEOVER (L_LEADER + LOCK_DELAY)
#ifndef ELECTIONS
#define ELECTIONS 2        /* leaderships, one generation of epochs each */
#endif
#ifndef INCARNATIONS
#define INCARNATIONS 2     /* of each node */
#endif
#ifndef FAILOVERS
#define FAILOVERS 0
#endif
#ifndef SQL_LOSSES
#define SQL_LOSSES 0
#endif
#define PLACEMENTS 2       /* in each generation */
#define EPOCHS (ELECTIONS * PLACEMENTS)
#define EPOCH(c) ((own_generation[c] - 1) * PLACEMENTS + placed[c] + 1)
#define NO_NODE 2
#define NO_COORDINATOR 2
#define READY 0            /* states of a node's record in Redis */
#define FENCED 1
#define LEFT 2
#define NO_RECORD 3

/* ===== state ============================================================================================ */
/* Nodes. */
bool runs[2];              /* an incarnation of the node exists */
byte incarnation[2];
byte lease[2];             /* ticks until the deadline */
bool live[2];              /* a connection of the session is open */
byte lingers[2];           /* ticks for which packets of a closed connection may still arrive */
byte runs_epoch[2];        /* the epoch under which the node runs the session */
byte newest_epoch[2];      /* the newest epoch of any order */
byte ended_epoch[2];       /* the newest epoch that has ended on this incarnation */
byte heard_term[2];        /* the newest term of any order */
bool beating[2];           /* a heartbeat is under way to Redis */
bool answered[2];          /* Redis has renewed, and the answer is under way */
byte age[2];               /* ticks since that heartbeat was sent */
/* Redis, and the replica that may take its place. */
byte redis_run;
byte term, replica_term;
byte holder, replica_holder;
byte record[2], replica_record[2];              /* the incarnation in the record */
byte state[2], replica_state[2];
byte owner, replica_owner;                      /* the node that owns the session */
byte owner_incarnation, replica_owner_incarnation;
byte last_epoch, replica_last_epoch;
/* SQL, and its assignment before the last commit. */
byte sql_term, generation;
byte sql_owner, sql_epoch, before_owner, before_epoch;
/* Orders and reports by epoch: once issued, they may arrive at any time, late, twice or never. */
bool start_sent[EPOCHS + 1], stop_sent[EPOCHS + 1], stopped_reported[EPOCHS + 1];
byte order_node[EPOCHS + 1], order_incarnation[EPOCHS + 1], order_term[EPOCHS + 1];
/* Coordinators. */
bool leads[2];
byte own_term[2], own_run[2], own_generation[2];
byte placed[2];                                 /* placements in its generation */
#define AT(c, n) ((c) * 2 + (n))
byte silent[4];                                 /* ticks since it saw a new heartbeat of a node */
bool unseen[4];                                 /* a heartbeat came since it last looked */
byte since_fence[4];                            /* ticks since its own fence; LOCK_DELAY + 1: none */
bool hot[2];                                    /* the session ended less than a tick ago */
byte absent[2];                                 /* ticks for which the owner's record has been missing */
/* Bounds of the model. */
byte elections, failovers, losses, births[2];

#define VISIBLE(n) (live[n] || lingers[n] > 0)
#define HAS_RECORD(n, i) (state[n] != NO_RECORD && record[n] == (i))

/* ===== rules ============================================================================================ */
/* At its deadline a node closes all connections, or its host is killed. */
#ifdef NO_DEADLINE
#define AT_DEADLINE(n) skip
#else
#define AT_DEADLINE(n) end(n)
#endif
/* The deadline counts from the sending of a heartbeat, not from its answer. */
#ifdef NO_SEND_TIME
#define RENEWED(n) L_NODE
#else
#define RENEWED(n) (L_NODE - age[n] > lease[n] -> L_NODE - age[n] : lease[n])
#endif
/* What an old term writes is refused, by Redis and by SQL; nodes refuse orders of an older term. */
#ifdef NO_TERM
#define REDIS_ACCEPTS(c) true
#define SQL_ACCEPTS(c) true
#define TERM_IS_NEW(n, e) true
#else
#define REDIS_ACCEPTS(c) (term == own_term[c])
#define SQL_ACCEPTS(c) (sql_term == own_term[c])
#define TERM_IS_NEW(n, e) (order_term[e] >= heard_term[n])
#endif
/* A node starts a session only under an epoch that it has neither seen stopped nor ended. */
#ifdef NO_EPOCH
#define EPOCH_IS_NEW(n, e) true
#else
#define EPOCH_IS_NEW(n, e) ((e) > newest_epoch[n] && (e) > ended_epoch[n])
#endif
/* A new leader waits a whole lease before it declares a node dead. */
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
/* After its fence the leader waits the lock delay: packets that were sent at the deadline arrive first. */
#ifdef NO_LOCK_DELAY
#define FENCE_IS_OLD(c, n) true
#else
#define FENCE_IS_OLD(c, n) (since_fence[AT(c, n)] == LOCK_DELAY)
#endif
/* An incarnation without a record may still run: it is replaced only after a takeover's time. */
#ifdef NO_ABSENCE
#define LONG_ABSENT(c) true
#else
#define LONG_ABSENT(c) (absent[c] == TAKEOVER)
#endif
/* A session rests between its end and its next start: packets of a closed connection arrive first. */
#ifdef NO_COOL_DOWN
#define COOL(c) true
#else
#define COOL(c) (!hot[c])
#endif
/* A session that moves starts elsewhere only after its node has reported that it stopped. */
#ifdef NO_ACKNOWLEDGEMENT
#define ON_STOP_SENT(c) sql_commit(NO_NODE, sql_epoch); owner = NO_NODE
#else
#define ON_STOP_SENT(c) skip
#endif
/* Another Redis process ends a leadership. */
#ifdef NO_RUN_ID
#define REDIS_IS_OTHER(c) false
#else
#define REDIS_IS_OTHER(c) (own_run[c] != redis_run)
#endif
/* A session is not placed while the owner that Redis records may still run it. */
#ifdef NO_OWNER
#define OWNER_IS_GONE true
#else
#define OWNER_IS_GONE (owner == NO_NODE || record[owner] != owner_incarnation \
                       || state[owner] == LEFT || state[owner] == NO_RECORD)
#endif

/* ===== steps ============================================================================================ */
inline close(n) {
  if :: live[n] -> live[n] = false; lingers[n] = 1; ended_epoch[n] = runs_epoch[n] :: else fi
}
/* All processes of a node end: the kernel closes their sockets. */
inline end(n) {
  close(n);
  runs[n] = false; lease[n] = 0; beating[n] = false; answered[n] = false; age[n] = 0;
  newest_epoch[n] = 0; ended_epoch[n] = 0; runs_epoch[n] = 0; heard_term[n] = 0
}
inline heard(n) { unseen[AT(0, n)] = leads[0]; unseen[AT(1, n)] = leads[1] }
inline sql_commit(node, epoch) {
  if :: SQL_LOSSES > 0 -> before_owner = sql_owner; before_epoch = sql_epoch :: else fi;
  sql_owner = node; sql_epoch = epoch
}
inline session_is_free(c) { sql_commit(NO_NODE, sql_epoch); owner = NO_NODE; hot[c] = true }
inline lose_leadership(c) {
  leads[c] = false; own_term[c] = 0; own_run[c] = 0; own_generation[c] = 0; placed[c] = 0;
  hot[c] = false; absent[c] = 0;
  silent[AT(c, 0)] = 0; silent[AT(c, 1)] = 0; unseen[AT(c, 0)] = false; unseen[AT(c, 1)] = false;
  since_fence[AT(c, 0)] = LOCK_DELAY + 1; since_fence[AT(c, 1)] = LOCK_DELAY + 1
}
inline node_tick(n) {
  if :: lingers[n] > 0 -> lingers[n]-- :: else fi;
  if
  :: runs[n] && lease[n] > 0 ->
     lease[n]--;
     if :: lease[n] == 0 -> AT_DEADLINE(n) :: else fi
  :: else
  fi;
  if :: (beating[n] || answered[n]) && age[n] < L_NODE -> age[n]++ :: else fi
}
inline leader_tick(c) {
  if
  :: leads[c] ->
     if :: silent[AT(c, 0)] < L_LEADER -> silent[AT(c, 0)]++ :: else fi;
     if :: silent[AT(c, 1)] < L_LEADER -> silent[AT(c, 1)]++ :: else fi;
     if :: since_fence[AT(c, 0)] < LOCK_DELAY -> since_fence[AT(c, 0)]++ :: else fi;
     if :: since_fence[AT(c, 1)] < LOCK_DELAY -> since_fence[AT(c, 1)]++ :: else fi;
     hot[c] = false;
     if
     :: sql_owner != NO_NODE && !HAS_RECORD(sql_owner, order_incarnation[sql_epoch]) ->
        if :: absent[c] < TAKEOVER -> absent[c]++ :: else fi
     :: else -> absent[c] = 0
     fi
  :: else
  fi
}

#define NODE(n) \
  /* Register: Redis has no incarnation of that name that may still run. */ \
  :: !runs[n] && births[n] < INCARNATIONS && state[n] != READY -> d_step { \
       births[n]++; incarnation[n]++; runs[n] = true; lease[n] = L_NODE; \
       record[n] = incarnation[n]; state[n] = READY; heard(n) } \
  /* A heartbeat is sent. */ \
  :: runs[n] && !beating[n] && !answered[n] -> d_step { beating[n] = true; age[n] = 0 } \
  /* Redis renews. */ \
  :: runs[n] && beating[n] && record[n] == incarnation[n] && state[n] == READY -> \
     d_step { beating[n] = false; answered[n] = true; heard(n) } \
  /* Redis says that the incarnation was fenced or replaced: the node ends at once. */ \
  :: runs[n] && beating[n] && state[n] != NO_RECORD && (record[n] != incarnation[n] || state[n] != READY) -> \
     d_step { end(n) } \
  /* Redis has lost the record: the node registers again within its lease. */ \
  :: runs[n] && beating[n] && state[n] == NO_RECORD -> \
     d_step { beating[n] = false; age[n] = 0; record[n] = incarnation[n]; state[n] = READY; heard(n) } \
  /* The heartbeat or its answer is lost. */ \
  :: runs[n] && (beating[n] || answered[n]) -> d_step { beating[n] = false; answered[n] = false; age[n] = 0 } \
  /* The answer arrives while the lease lasts. */ \
  :: runs[n] && answered[n] && lease[n] > 0 -> \
     d_step { lease[n] = RENEWED(n); answered[n] = false; age[n] = 0 } \
  /* The node is killed. */ \
  :: runs[n] -> d_step { end(n) } \
  /* The supervisor stops its host, and then says that the incarnation has left. */ \
  :: runs[n] && record[n] == incarnation[n] && state[n] == READY -> d_step { end(n); state[n] = LEFT }

#define TO(e) order_node[e]
#define ORDER(e) \
  :: start_sent[e] && runs[TO(e)] && order_incarnation[e] == incarnation[TO(e)] && !live[TO(e)] \
     && lease[TO(e)] > 0 && TERM_IS_NEW(TO(e), e) && EPOCH_IS_NEW(TO(e), e) -> d_step { \
       heard_term[TO(e)] = order_term[e]; newest_epoch[TO(e)] = e; runs_epoch[TO(e)] = e; \
       live[TO(e)] = true; \
       assert(!VISIBLE(1 - TO(e))) } \
  /* "Stopped" means that no connection of the session is open, nor can be opened under this epoch. */ \
  :: stop_sent[e] && !stopped_reported[e] && runs[TO(e)] && order_incarnation[e] == incarnation[TO(e)] -> \
     d_step { \
       if :: live[TO(e)] && runs_epoch[TO(e)] <= e -> close(TO(e)) :: else fi; \
       if :: newest_epoch[TO(e)] < e -> newest_epoch[TO(e)] = e :: else fi; \
       if :: !live[TO(e)] -> stopped_reported[e] = true; ended_epoch[TO(e)] = e :: else fi }

#define COORDINATOR(c) \
  /* Elect: the term and the generation are above all that Redis and SQL know. */ \
  :: !leads[c] && elections < ELECTIONS && holder == NO_COORDINATOR -> d_step { \
       lose_leadership(c); elections++; generation++; \
       term = (term > sql_term -> term : sql_term) + 1; sql_term = term; holder = c; \
       leads[c] = true; own_term[c] = term; own_run[c] = redis_run; own_generation[c] = generation; \
       hot[c] = true; silent[AT(c, 0)] = FIRST_SILENCE; silent[AT(c, 1)] = FIRST_SILENCE } \
  /* The leadership expires in Redis; the leader may not know it yet, and go on. */ \
  :: leads[c] && holder == c -> holder = NO_COORDINATOR \
  /* It learns that it no longer leads, or dies. */ \
  :: leads[c] && (holder != c || term != own_term[c]) -> d_step { lose_leadership(c) } \
  :: leads[c] && REDIS_IS_OTHER(c) -> d_step { \
       if :: holder == c -> holder = NO_COORDINATOR :: else fi; lose_leadership(c) } \
  /* Place: reserve in Redis, commit to SQL, send START. */ \
  PLACE(c, 0) PLACE(c, 1) \
  /* Move, pause or remove: send STOP. */ \
  :: leads[c] && SQL_ACCEPTS(c) && sql_owner != NO_NODE && !stop_sent[sql_epoch] -> \
     d_step { stop_sent[sql_epoch] = true; ON_STOP_SENT(c) } \
  /* The report "stopped" of the current epoch. */ \
  :: leads[c] && SQL_ACCEPTS(c) && sql_owner != NO_NODE && stopped_reported[sql_epoch] -> \
     d_step { session_is_free(c) } \
  /* Take over from an owner that was fenced or has left. */ \
  :: leads[c] && SQL_ACCEPTS(c) && sql_owner != NO_NODE \
     && HAS_RECORD(sql_owner, order_incarnation[sql_epoch]) \
     && (state[sql_owner] == LEFT || (state[sql_owner] == FENCED && FENCE_IS_OLD(c, sql_owner))) -> \
     d_step { session_is_free(c) } \
  /* Take over from an owner without a record. */ \
  :: leads[c] && SQL_ACCEPTS(c) && sql_owner != NO_NODE \
     && !HAS_RECORD(sql_owner, order_incarnation[sql_epoch]) && LONG_ABSENT(c) -> \
     d_step { session_is_free(c) } \
  WATCH(c, 0) WATCH(c, 1)

#define PLACE(c, n) \
  :: leads[c] && REDIS_ACCEPTS(c) && SQL_ACCEPTS(c) && sql_owner == NO_NODE && COOL(c) \
     && placed[c] < PLACEMENTS && state[n] == READY && EPOCH(c) > last_epoch && OWNER_IS_GONE -> d_step { \
       owner = n; owner_incarnation = record[n]; last_epoch = EPOCH(c); \
       order_node[last_epoch] = n; order_incarnation[last_epoch] = record[n]; \
       order_term[last_epoch] = own_term[c]; start_sent[last_epoch] = true; \
       sql_commit(n, last_epoch); placed[c]++; absent[c] = 0 }

#define WATCH(c, n) \
  :: leads[c] && unseen[AT(c, n)] -> d_step { unseen[AT(c, n)] = false; silent[AT(c, n)] = 0 } \
  :: leads[c] && REDIS_ACCEPTS(c) && silent[AT(c, n)] == L_LEADER && state[n] == READY && UNCHANGED(c, n) -> \
     d_step { state[n] = FENCED; since_fence[AT(c, n)] = 0 } \
  /* A leader that finds a fence of another one waits the lock delay itself. */ \
  :: leads[c] && state[n] == FENCED && since_fence[AT(c, n)] > LOCK_DELAY -> since_fence[AT(c, n)] = 0

#if ELECTIONS == 2
#define ORDERS ORDER(1) ORDER(2) ORDER(3) ORDER(4)
#else
#define ORDERS ORDER(1) ORDER(2) ORDER(3) ORDER(4) ORDER(5) ORDER(6)
#endif

active proctype world() {
  d_step {
    holder = NO_COORDINATOR; replica_holder = NO_COORDINATOR;
    owner = NO_NODE; replica_owner = NO_NODE; sql_owner = NO_NODE; before_owner = NO_NODE;
    state[0] = NO_RECORD; state[1] = NO_RECORD;
    replica_state[0] = NO_RECORD; replica_state[1] = NO_RECORD;
    lose_leadership(0); lose_leadership(1)
  }
  do
  :: d_step { node_tick(0); node_tick(1); leader_tick(0); leader_tick(1) }
  NODE(0)
  NODE(1)
  ORDERS
  COORDINATOR(0)
  COORDINATOR(1)
  /* The replica catches up with Redis. */
  :: failovers < FAILOVERS -> d_step {
       replica_term = term; replica_holder = holder; replica_owner = owner;
       replica_owner_incarnation = owner_incarnation; replica_last_epoch = last_epoch;
       replica_record[0] = record[0]; replica_record[1] = record[1];
       replica_state[0] = state[0]; replica_state[1] = state[1]
     }
  /* The replica takes over from Redis, without what was written since. */
  :: failovers < FAILOVERS -> d_step {
       failovers++; redis_run++;
       term = replica_term; holder = replica_holder; owner = replica_owner;
       owner_incarnation = replica_owner_incarnation; last_epoch = replica_last_epoch;
       record[0] = replica_record[0]; record[1] = replica_record[1];
       state[0] = replica_state[0]; state[1] = replica_state[1];
       heard(0); heard(1)
     }
  /* SQL loses its last commit, and the leader that remembers it ends. */
  :: losses < SQL_LOSSES -> d_step {
       losses++; sql_owner = before_owner; sql_epoch = before_epoch;
       holder = NO_COORDINATOR; lose_leadership(0); lose_leadership(1)
     }
  od
}
