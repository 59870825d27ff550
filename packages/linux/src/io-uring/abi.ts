/** Numbers of io_uring, from the kernel's io_uring.h, and of the system calls that lead to it, which are the same everywhere. */

export const SYS_IO_URING_SETUP = 425;
export const SYS_IO_URING_ENTER = 426;
export const SYS_IO_URING_REGISTER = 427;

export const IORING_OP_SENDMSG = 9;
export const IORING_OP_ASYNC_CANCEL = 14;
export const IORING_OP_SEND = 26;
export const IORING_OP_RECV = 27;

/** Of an entry: the kernel chooses the memory to receive into. */
export const IOSQE_BUFFER_SELECT = 32;
/** Of an entry: no result unless it fails. */
export const IOSQE_CQE_SKIP_SUCCESS = 64;
/** Receive again and again. */
export const IORING_RECV_MULTISHOT = 2;
export const IORING_ASYNC_CANCEL_ALL = 1;
export const IORING_ASYNC_CANCEL_FD = 2;

export const IORING_ENTER_GETEVENTS = 1;
export const IORING_REGISTER_PBUF_RING = 22;

export const IORING_SETUP_CQSIZE = 8;
export const IORING_SETUP_SUBMIT_ALL = 128;
export const IORING_SETUP_COOP_TASKRUN = 256;
export const IORING_SETUP_TASKRUN_FLAG = 512;
export const IORING_SETUP_SINGLE_ISSUER = 4096;

/** Flags of the queue: results did not fit into it; there is work to be done on the way out of a system call. */
export const IORING_SQ_CQ_OVERFLOW = 2;
export const IORING_SQ_TASKRUN = 4;

/** Flags of a result: it came into memory, whose number is in the upper half; more will come of the same entry. */
export const IORING_CQE_F_BUFFER = 1;
export const IORING_CQE_F_MORE = 2;

/** Where what is mapped begins. */
export const IORING_OFF_RINGS = 0;
export const IORING_OFF_SQES = 0x1000_0000;

/** Words of an entry, and of a result. */
export const SQE_WORDS = 16;
export const CQE_WORDS = 4;

export const PROT_READ_WRITE = 3;
/** `MAP_SHARED | MAP_POPULATE` */
export const MAP_RING = 0x8001;
/** `MAP_PRIVATE | MAP_ANONYMOUS` */
export const MAP_ANONYMOUS = 0x22;

export const MSG_NOSIGNAL = 0x4000;
export const SHUT_WR = 1;

export const ENOBUFS = -105;
export const ECANCELED = -125;

/** Of libuv. */
export const UV_POLL = 8;
export const UV_READABLE = 1;
