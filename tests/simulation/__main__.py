import time, sys
from simulation.cluster import Cluster
a = time.perf_counter()
c = Cluster(int(sys.argv[1]), traced=len(sys.argv) > 2)
b = time.perf_counter()
c.run(20)
d = time.perf_counter()
if c.hub.lines: print("\n".join(c.hub.lines))
print(b-a, d-b, c.judge.violations, c.hub.crashes, c.judge.live(), c.judge.opened)
print(c.sql.rows("select session_id, worker, state, epoch from session_assignments"))
c.close()
