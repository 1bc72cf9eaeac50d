// A disk that fails when it is told to. Loaded into a process with LD_PRELOAD, it stands between the program and the C library:
// counts what the program does to the files under test and, at the call it was told, fails it, shortens it, or ends the process.
// Told through a small file that both sides map (see fault-disk.ts for its layout), so it can be changed while the program runs.
// Can also write down every change, in order, so that the state after any prefix of them can be made again (see disk-record.ts).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OP_WRITE = 1, OP_SYNC = 2, OP_TRUNCATE = 4, OP_READ = 8, OP_OPEN = 16, OP_UNLINK = 32 };
enum { EFFECT_FAIL = 0, EFFECT_SHORT = 1, EFFECT_KILL_BEFORE = 2, EFFECT_KILL_AFTER = 3, EFFECT_KILL_TORN = 4 };

// 64-bit little-endian numbers; the same order as in fault-disk.ts.
struct control {
  int64_t operations; // which kinds of call are counted and may fail
  int64_t count;      // how many there were; counted here
  int64_t at;         // the first one that fails, from 1; 0: none
  int64_t last;       // the last one that fails
  int64_t effect;
  int64_t error;      // errno of a failure
  int64_t failed;     // how many were failed; counted here
  int64_t skip_sync;  // 1: syncs succeed without touching the disk
  int64_t step;       // what the program has got done; copied into the record
};

static struct control *control;
static char wanted[PATH_MAX];
static int record = -1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_pread)(int, void *, size_t, off64_t);
static int (*real_open)(const char *, int, ...);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off64_t);
static int (*real_unlink)(const char *);

__attribute__((constructor)) static void start(void) {
  real_write = dlsym(RTLD_NEXT, "write");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_pread = dlsym(RTLD_NEXT, "pread64");
  real_open = dlsym(RTLD_NEXT, "open64");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
  real_unlink = dlsym(RTLD_NEXT, "unlink");
  const char *path = getenv("MILLRACE_FAULT_PATH");
  const char *control_file = getenv("MILLRACE_FAULT_CONTROL");
  const char *record_file = getenv("MILLRACE_FAULT_RECORD");
  if (path == NULL || control_file == NULL) return;
  snprintf(wanted, sizeof wanted, "%s", path);
  int fd = real_open(control_file, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped == MAP_FAILED) return;
  if (record_file != NULL) record = real_open(record_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  control = mapped;
}

// Files are meant whose path contains what MILLRACE_FAULT_PATH says.
static int path_of(int fd, char *path) {
  if (control == NULL) return 0;
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return strstr(path, wanted) != NULL;
}

// Counts a call; answers whether it is to fail.
static int is_due(int operation) {
  if ((control->operations & operation) == 0) return 0;
  int64_t number = ++control->count;
  if (control->at == 0 || number < control->at || number > control->last) return 0;
  control->failed += 1;
  return 1;
}

static void end_process(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

struct entry {
  uint32_t operation;
  uint32_t path_length;
  int64_t offset; // of a write; new length of a truncation
  int64_t length; // bytes that follow the path
  int64_t step;
};

static void put_down(int operation, const char *path, int64_t offset, const void *data, int64_t length) {
  if (record < 0) return;
  struct entry entry = {operation, (uint32_t)strlen(path), offset, length, control->step};
  struct iovec parts[3] = {{&entry, sizeof entry}, {(void *)path, entry.path_length}, {(void *)data, (size_t)length}};
  if (writev(record, parts, 3) < 0) abort();
}

static ssize_t do_write(int fd, const void *data, size_t size, off64_t offset, int at_offset) {
  char path[PATH_MAX];
  if (!path_of(fd, path)) return at_offset ? real_pwrite(fd, data, size, offset) : real_write(fd, data, size);
  pthread_mutex_lock(&mutex);
  if (!at_offset) offset = lseek64(fd, 0, SEEK_CUR);
  ssize_t written = -1;
  if (is_due(OP_WRITE)) {
    int effect = (int)control->effect;
    if (effect == EFFECT_KILL_BEFORE) end_process();
    size_t part = effect == EFFECT_SHORT || effect == EFFECT_KILL_TORN ? size / 2 : effect == EFFECT_KILL_AFTER ? size : 0;
    if (part > 0) {
      written = real_pwrite(fd, data, part, offset);
      if (written > 0) put_down(OP_WRITE, path, offset, data, written);
    }
    if (effect == EFFECT_KILL_AFTER || effect == EFFECT_KILL_TORN) end_process();
    if (written <= 0) {
      written = -1;
      errno = (int)control->error;
    }
  } else {
    written = at_offset ? real_pwrite(fd, data, size, offset) : real_write(fd, data, size);
    if (written > 0) put_down(OP_WRITE, path, offset, data, written);
  }
  int error = errno;
  pthread_mutex_unlock(&mutex);
  errno = error;
  return written;
}

ssize_t write(int fd, const void *data, size_t size) { return do_write(fd, data, size, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return do_write(fd, data, size, offset, 1); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return do_write(fd, data, size, offset, 1); }

static ssize_t do_read(int fd, void *data, size_t size, off64_t offset) {
  char path[PATH_MAX];
  if (control == NULL || (control->operations & OP_READ) == 0 || !path_of(fd, path)) return real_pread(fd, data, size, offset);
  pthread_mutex_lock(&mutex);
  int due = is_due(OP_READ);
  if (due && (control->effect == EFFECT_KILL_BEFORE || control->effect == EFFECT_KILL_AFTER)) end_process();
  int error = (int)control->error;
  pthread_mutex_unlock(&mutex);
  if (!due) return real_pread(fd, data, size, offset);
  errno = error;
  return -1;
}

ssize_t pread(int fd, void *data, size_t size, off_t offset) { return do_read(fd, data, size, offset); }
ssize_t pread64(int fd, void *data, size_t size, off64_t offset) { return do_read(fd, data, size, offset); }

// What both syncs and truncations have in common: fail, end the process before or after, or do it.
static int do_change(int operation, int fd, off64_t length, int (*sync)(int)) {
  char path[PATH_MAX];
  if (!path_of(fd, path)) return sync != NULL ? sync(fd) : real_ftruncate(fd, length);
  pthread_mutex_lock(&mutex);
  int due = is_due(operation);
  int effect = (int)control->effect;
  if (due && effect == EFFECT_KILL_BEFORE) end_process();
  int result = -1;
  if (due && (effect == EFFECT_FAIL || effect == EFFECT_SHORT)) {
    errno = (int)control->error;
    // A sync that failed may have lost what was to be synced: worth knowing.
    if (operation == OP_SYNC) put_down(OP_SYNC, path, -1, "", 0);
  } else {
    result = sync == NULL ? real_ftruncate(fd, length) : control->skip_sync ? 0 : sync(fd);
    if (result == 0) put_down(operation, path, sync == NULL ? length : 0, "", 0);
    if (due) end_process();
  }
  int error = errno;
  pthread_mutex_unlock(&mutex);
  errno = error;
  return result;
}

int fsync(int fd) { return do_change(OP_SYNC, fd, 0, real_fsync); }
int fdatasync(int fd) { return do_change(OP_SYNC, fd, 0, real_fdatasync); }
int ftruncate(int fd, off_t length) { return do_change(OP_TRUNCATE, fd, length, NULL); }
int ftruncate64(int fd, off64_t length) { return do_change(OP_TRUNCATE, fd, length, NULL); }

int unlink(const char *path) {
  if (control == NULL || strstr(path, wanted) == NULL) return real_unlink(path);
  pthread_mutex_lock(&mutex);
  int due = is_due(OP_UNLINK);
  int effect = (int)control->effect;
  if (due && effect == EFFECT_KILL_BEFORE) end_process();
  int result = -1;
  if (due && (effect == EFFECT_FAIL || effect == EFFECT_SHORT)) {
    errno = (int)control->error;
  } else {
    result = real_unlink(path);
    if (result == 0) put_down(OP_UNLINK, path, 0, "", 0);
    if (due) end_process();
  }
  int error = errno;
  pthread_mutex_unlock(&mutex);
  errno = error;
  return result;
}

static int do_open(const char *path, int flags, mode_t mode) {
  // Reading is not refused: that is what a file system mounted read-only does.
  if (control == NULL || (flags & (O_WRONLY | O_RDWR | O_CREAT)) == 0 || strstr(path, wanted) == NULL)
    return real_open(path, flags, mode);
  pthread_mutex_lock(&mutex);
  int due = is_due(OP_OPEN);
  int effect = (int)control->effect;
  if (due && effect == EFFECT_KILL_BEFORE) end_process();
  int result = -1;
  if (due && (effect == EFFECT_FAIL || effect == EFFECT_SHORT)) {
    errno = (int)control->error;
  } else {
    result = real_open(path, flags, mode);
    if (due) end_process();
  }
  int error = errno;
  pthread_mutex_unlock(&mutex);
  errno = error;
  return result;
}

int open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return do_open(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return do_open(path, flags, mode);
}
