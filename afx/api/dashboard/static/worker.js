// One stream of events for all tabs: a browser opens six connections to a server at most.
const ports = new Set();
let source = null;
let last = { state: "connecting" };

function tell(message) {
  last = message.state ? message : last;
  for (const port of ports) port.postMessage(message);
}

function open() {
  source = new EventSource("/api/v1/events?topics=events,nodes,status,stale");
  source.onopen = () => tell({ state: "live" });
  source.onerror = () => {
    tell({ state: "stale", detail: "The API does not answer." });
    // A refusal ends a stream for good, such as one without a valid cookie.
    if (source.readyState === EventSource.CLOSED) setTimeout(open, 5000);
  };
  for (const topic of ["events", "nodes", "status", "resync"])
    source.addEventListener(topic, (it) => tell({ topic, data: it.data }));
  source.addEventListener("stale", (it) => {
    const detail = JSON.parse(it.data).detail;
    tell(detail ? { state: "stale", detail } : { state: "live" });
  });
}

onconnect = (connection) => {
  const port = connection.ports[0];
  ports.add(port);
  port.onmessage = (it) => {
    if (it.data === "bye") ports.delete(port);
    if (!ports.size && source) { source.close(); source = null; }
  };
  if (!source) open();
  port.postMessage(last);
};
