// The entry of a helper thread: a Worker of this file.
import {listen} from './thread_main.ts';

listen();
