'use strict';

// A worker's socket: frames in, frames out, past the machinery of streams where that is safe, which costs a short call
// more than anything else here. What comes in lands in one buffer and is copied out of it at its true size; what goes out
// is written at once, and by the stream only where the kernel takes no more.

const net = require('node:net');
const { writeSync } = require('node:fs'); // before user code, which may put its own in its place
const { FrameReader } = require('./protocol.cjs');

const RECEIVE_BYTES = 64 * 1024;

class Wire {
  /** Hands each frame to `take(type, callId, payload)`. Ends the process when the host is gone: nobody is left to work for. */
  constructor(fd, take) {
    const reader = new FrameReader(take);
    this.fd = fd;
    this.soon = [];
    this.flush = () => this.flushNow();
    this.socket = new net.Socket({
      fd,
      readable: true,
      writable: true,
      onread: {
        buffer: Buffer.allocUnsafeSlow(RECEIVE_BYTES),
        callback(size, buffer) {
          reader.feed(Buffer.from(buffer.subarray(0, size)));
          return true;
        },
      },
    });
    this.socket.on('end', () => process.exit(0));
    this.socket.on('error', () => process.exit(0));
    this.socket.resume();
  }

  /** Sends a frame. */
  send(frame) {
    if (this.soon.length > 0) this.flushNow();
    this.write(frame);
  }

  /** Sends a frame together with all others of this turn. */
  sendSoon(frame) {
    if (this.soon.push(frame) === 1) process.nextTick(this.flush);
  }

  /** Sends a frame, and ends the process. */
  end(frame) {
    this.socket.end(frame, () => process.exit(1));
  }

  flushNow() {
    const frames = this.soon;
    if (frames.length === 0) return;
    this.soon = [];
    this.write(frames.length === 1 ? frames[0] : Buffer.concat(frames));
  }

  write(data) {
    let written = 0;
    if (this.socket.writableLength === 0) {
      try {
        written = writeSync(this.fd, data, 0, data.length);
      } catch (error) {
        if (error.code !== 'EAGAIN') process.exit(0);
      }
    }
    if (written < data.length) this.socket.write(written === 0 ? data : data.subarray(written));
  }
}

module.exports = { Wire };
