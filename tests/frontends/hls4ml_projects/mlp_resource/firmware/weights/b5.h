//Numpy array shape [3]
//Min -0.570139586926
//Max 0.013200041838
//Number of zeros 0

#ifndef B5_H_
#define B5_H_

#ifndef __SYNTHESIS__
fc2_bias_t b5[3];
#else
fc2_bias_t b5[3] = {-0.0554621294, 0.0132000418, -0.5701395869};

#endif

#endif
