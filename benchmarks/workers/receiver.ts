// The Worker that receives: marks the number of every message, and tells when asked whether all came exactly once.
//
//   GET /expect/<first>    forgets what came; numbers start there
//   GET /report/<count>    what came since, of so many
//   GET /hold              keeps what comes until it is let go
//   GET /letgo

export const receiverSource = `
let first = 0, seen = new Uint8Array(1024), delivered = 0, duplicates = 0, strangers = 0, batches = 0, oldestMs = 0, isHeld = false;
export default {
  fetch(request) {
    const [, , , what, number] = request.url.split("/");
    if (what === "expect") {
      first = Number(number);
      seen = new Uint8Array(1024);
      delivered = duplicates = strangers = batches = oldestMs = 0;
      return Response.json({});
    }
    if (what === "hold" || what === "letgo") {
      isHeld = what === "hold";
      return Response.json({});
    }
    const sent = Number(number);
    let beyond = 0;
    for (let place = sent; place < seen.length; place += 1) beyond += seen[place];
    const known = delivered - beyond;
    return Response.json({
      sent, delivered: known, missing: sent - known, duplicates, strangers: strangers + beyond, batches, oldestMs,
    });
  },
  queue(batch) {
    return isHeld ? this.wait(batch) : this.take(batch);
  },
  async wait(batch) {
    while (isHeld) await scheduler.wait(20);
    this.take(batch);
  },
  take(batch) {
    batches += 1;
    const now = Date.now();
    for (const { body, timestamp } of batch.messages) {
      const place = Number(body.id) - first;
      oldestMs = Math.max(oldestMs, now - timestamp.getTime());
      if (place < 0) {
        strangers += 1;
        continue;
      }
      if (place >= seen.length) {
        const larger = new Uint8Array(Math.max(place + 1, seen.length * 2));
        larger.set(seen);
        seen = larger;
      }
      if (seen[place] > 0) {
        duplicates += 1;
      } else {
        seen[place] = 1;
        delivered += 1;
      }
    }
  },
};
`;
