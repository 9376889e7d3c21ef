/** Version of the program, as processes tell it. */
export const SOFTWARE_VERSION = '0.1.0';
