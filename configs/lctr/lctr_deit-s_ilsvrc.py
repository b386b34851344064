# LCTR (Chen et al., AAAI 2022), DeiT-S/16 at 224 on ILSVRC2012.
_base_ = ['./_base_/deit-s.py', '../catr/_base_/ilsvrc.py']
total_batch_size = 1024  # 4 x 256; the learning rate 5e-4 of the command line is for 512 images
model = dict(head=dict(num_classes=1000), map_to_box=dict(threshold=0.18))
train_dataloader = dict(batch_size=total_batch_size)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
auto_scale_lr = dict(base_batch_size=total_batch_size)
