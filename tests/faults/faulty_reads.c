/* LD_PRELOAD: reading some files fails, or waits. FAULTS names a file of rules, read again at each read, one a line:
     fail SUBSTRING ERRNO      reading a path that holds SUBSTRING fails
     gate SUBSTRING FIFO       reading it waits until somebody has opened FIFO for writing and closed it again
   Build: gcc -shared -fPIC -O2 -o faulty_reads.so faulty_reads.c -ldl */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static __thread int inside;
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_readv)(int, const struct iovec *, int);

__attribute__((constructor)) static void find(void) {
  real_read = dlsym(RTLD_NEXT, "read");
  real_readv = dlsym(RTLD_NEXT, "readv");
}

static void wait_at(const char *fifo) {
  char byte;
  int gate = open(fifo, O_RDONLY | O_CLOEXEC);
  if (gate < 0) return;
  while (real_read(gate, &byte, 1) > 0) continue;
  close(gate);
}

/* The errno with which this read is to fail, 0 for none. */
static int fault(int descriptor) {
  const char *rules = getenv("FAULTS");
  char link[64], path[4096], verb[8], part[256], what[512];
  int found = 0;
  if (!rules || inside) return 0;
  inside = 1;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  FILE *file = length > 0 ? fopen(rules, "re") : NULL;
  if (file) {
    path[length] = 0;
    while (!found && fscanf(file, "%7s %255s %511s", verb, part, what) == 3) {
      if (!strstr(path, part)) continue;
      if (!strcmp(verb, "fail")) found = atoi(what);
      else wait_at(what);
    }
    fclose(file);
  }
  inside = 0;
  return found;
}

ssize_t read(int descriptor, void *buffer, size_t size) {
  int error = fault(descriptor);
  if (error) { errno = error; return -1; }
  return real_read(descriptor, buffer, size);
}

ssize_t readv(int descriptor, const struct iovec *buffers, int count) {
  int error = fault(descriptor);
  if (error) { errno = error; return -1; }
  return real_readv(descriptor, buffers, count);
}
